from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.ctc import CtcHead, load_heads
from embedsvc.types import HeadKind
from tests.encoder.ctc.published import bert, log_probabilities, logits_of, write
from tests.encoder.reference import utterance, whole

NEAR = 5e-5


def only(path: Path) -> CtcHead:
    (head,) = load_heads(resolve(str(path)))
    return head


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"add_adapter": True},
        {"add_adapter": True, "num_adapter_layers": 3},
        {"add_adapter": True, "adapter_stride": 1},
        {"add_adapter": True, "adapter_stride": 3, "adapter_kernel_size": 5},
        {"add_adapter": True, "output_hidden_size": 32, "adapter_act": "gelu"},
        {"add_adapter": True, "use_intermediate_ffn_before_adapter": True},
        {"position_embeddings_type": "relative", "add_adapter": True},
    ],
)
def test_a_head_gives_what_the_reference_gives(tmp_path: Path, changes: dict[str, Any]) -> None:
    model = bert(**changes)
    path = write(model, tmp_path)
    head, encoder = only(path), Encoder.load(resolve(str(path)))
    for length in (1, 2, 3, 50, 97):
        frames = utterance(length)
        states = encoder.encode([frames], [whole(frames, head.layer)])[0].frames[head.layer]
        if not head.count(length):
            assert head(states).shape == (0, 9)
            continue
        wanted = logits_of(model, frames)
        scores = head(states)
        assert scores.dtype == np.float32
        assert len(scores) == head.count(length) == len(wanted)
        np.testing.assert_allclose(scores, log_probabilities(wanted), atol=NEAR, rtol=0)
        np.testing.assert_array_equal(scores.argmax(1), wanted.argmax(1))


def test_the_head_of_the_bundled_model_has_the_same_interface() -> None:
    checkpoint = resolve("mini")
    (head,) = load_heads(checkpoint)
    assert (head.info.name, head.info.kind) == ("phones", HeadKind.PHONES)
    assert head.info.labels == len(head.vocabulary.labels)
    assert head.vocabulary.blank == 0
    assert head.vocabulary.space is None
    assert head.frame_samples == 320
    frames = utterance(30)
    states = Encoder.load(checkpoint).encode([frames], [whole(frames, head.layer)])[0]
    scores = head(states.frames[head.layer])
    assert scores.shape == (30, head.info.labels) == (head.count(30), head.info.labels)
    np.testing.assert_allclose(np.exp(scores).sum(axis=1), 1, rtol=1e-5)
