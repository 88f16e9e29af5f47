"""Profiles over the wire: what a server lists can be asked for."""

import numpy as np

from embedsvc.v1 import embedding_pb2, server_pb2, types_pb2
from tests.service.calls import Stubs, request, vector


def test_every_profile_that_is_listed_can_be_asked_for(
    stubs: Stubs, model: server_pb2.ModelInfo
) -> None:
    assert [each.name for each in model.profiles] == ["language", "phonetic", "semantic", "speaker"]
    for each in model.profiles:
        assert each.about
        assert each.basis == "measured"
        pooling = types_pb2.Pooling.Value(f"POOLING_{each.pooling.upper()}")
        named, spelled = (
            stubs.embedding.Embed(request(None, output)).embedding
            for output in (
                embedding_pb2.OutputSpec(profile=each.name),
                embedding_pb2.OutputSpec(
                    layer=each.layer, pooling=pooling, projection=each.projection
                ),
            )
        )
        assert named.outputs[0].space == spelled.outputs[0].space
        np.testing.assert_array_equal(vector(named), vector(spelled))
