"""A caller that has nothing but the address: it asks what there is, and calls it."""

import base64
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from embedsvc.types import Floats
from tests.service.calls import BOUND, Stubs, s16, speech

Request = reflection_pb2.ServerReflectionRequest


class Explorer:
    """Knows of the protocol only what the server tells."""

    def __init__(self, stubs: Stubs) -> None:
        self._channel = stubs.channel
        self._reflection: Any = reflection_pb2_grpc.ServerReflectionStub(stubs.channel)
        self._pool = descriptor_pool.DescriptorPool()
        self._known: set[str] = set()

    def services(self) -> set[str]:
        """Names of all services."""
        answer = self._ask(Request(list_services=""))
        return {service.name for service in answer.list_services_response.service}

    def service(self, name: str) -> Any:
        """Descriptor of a service, with all that it needs."""
        self._learn(self._ask(Request(file_containing_symbol=name)))
        return self._pool.FindServiceByName(name)

    def call(self, method: Any, fields: dict[str, Any]) -> dict[str, Any]:
        """Call a method with a request and an answer in JSON's terms."""
        asked, answered = (
            message_factory.GetMessageClass(kind)
            for kind in (method.input_type, method.output_type)
        )
        path = f"/{method.containing_service.full_name}/{method.name}"
        call = self._channel.unary_unary(
            path,
            request_serializer=asked.SerializeToString,
            response_deserializer=answered.FromString,
        )
        request = json_format.ParseDict(fields, asked(), descriptor_pool=self._pool)
        answer: dict[str, Any] = json_format.MessageToDict(
            call(request, timeout=30), descriptor_pool=self._pool
        )
        return answer

    def _ask(self, request: Any) -> Any:
        (answer,) = self._reflection.ServerReflectionInfo(iter([request]), timeout=30)
        assert not answer.HasField("error_response"), answer
        return answer

    def _learn(self, answer: Any) -> None:
        for data in answer.file_descriptor_response.file_descriptor_proto:
            file = descriptor_pb2.FileDescriptorProto.FromString(data)
            if file.name in self._known:
                continue
            self._known.add(file.name)
            for name in file.dependency:
                if name not in self._known:
                    self._learn(self._ask(Request(file_by_filename=name)))
            self._pool.Add(file)


@pytest.fixture(scope="module")
def explorer(stubs: Stubs) -> Explorer:
    return Explorer(stubs)


def test_all_services_are_listed(explorer: Explorer) -> None:
    assert explorer.services() == {
        "embedsvc.v1.CollectionService",
        "embedsvc.v1.EmbeddingService",
        "embedsvc.v1.ProbeService",
        "embedsvc.v1.SearchService",
        "embedsvc.v1.ServerService",
        "embedsvc.v1.TranscriptionService",
        "google.longrunning.Operations",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


def test_every_service_can_be_explored(explorer: Explorer) -> None:
    for name in explorer.services():
        for method in explorer.service(name).methods:
            assert method.input_type.full_name
            assert method.output_type.full_name


def test_speech_is_embedded_without_generated_code(explorer: Explorer, usual: Floats) -> None:
    service = explorer.service("embedsvc.v1.EmbeddingService")
    samples = base64.b64encode(s16(speech())).decode()
    form = {"format": "SAMPLE_FORMAT_S16LE", "sampleRateHz": 16_000}
    answer = explorer.call(
        service.methods_by_name["Embed"],
        {
            "audio": {"id": "by hand", "pcm": {"format": form, "samples": samples}},
            "options": {"outputs": [{"encoding": "TENSOR_ENCODING_FLOATS"}]},
        },
    )
    output = answer["embedding"]["outputs"][0]
    assert answer["embedding"]["id"] == "by hand"
    assert output["tensor"]["shape"] == [len(usual)]
    assert output["span"]["end"] == "1s"
    np.testing.assert_allclose(output["tensor"]["floats"], usual, atol=BOUND)


def test_a_tool_can_ask_what_the_server_allows(explorer: Explorer) -> None:
    service = explorer.service("embedsvc.v1.ServerService")
    answer = explorer.call(service.methods_by_name["GetServerInfo"], {})
    assert answer["model"]["name"] == "mini"
    assert answer["model"]["defaultPooling"] in {"mean", "mean_std", "max"}
    assert answer["limits"]["maxBatchItems"] == 256
    assert answer["model"]["frameRateHz"] == 50.0
    assert "search" in answer["features"]
