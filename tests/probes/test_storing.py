import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from embedsvc.errors import InvalidArgument
from embedsvc.probes import ProbeFiles, from_files, to_files
from embedsvc.types import ProbeRecipe, ProbeTask
from tests.probes.speakers import Crowd, trained

EXAMPLES = Crowd(labels=3, speakers=4, utterances=3, dim=4).examples()
PROBE = trained(EXAMPLES)
FILES = to_files(PROBE)


def card(**changes: Any) -> bytes:
    return json.dumps(json.loads(FILES.card) | changes).encode()


def tensors(**changes: Any) -> bytes:
    return save(load(FILES.tensors) | changes)


def refused(tensors: bytes, card: bytes) -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_files(tensors, card)
    assert caught.value.field in {"tensors", "card"}


@pytest.mark.parametrize("calibration", ["temperature", "isotonic"])
def test_a_probe_comes_back_as_it_went(calibration: str) -> None:
    probe = trained(EXAMPLES, ProbeRecipe(calibration=calibration))
    files = to_files(probe)
    again = from_files(files.tensors, files.card)
    assert again.info == probe.info
    assert again(EXAMPLES.vectors) == probe(EXAMPLES.vectors)
    assert to_files(again) == files


@pytest.mark.parametrize("task", [ProbeTask.MULTI_LABEL, ProbeTask.REGRESSION])
def test_every_task_comes_back(task: ProbeTask) -> None:
    from dataclasses import replace

    numbers = tuple(f"{at % 7}" for at in range(len(EXAMPLES)))
    examples = EXAMPLES if task is ProbeTask.MULTI_LABEL else replace(EXAMPLES, labels=numbers)
    probe = trained(examples, ProbeRecipe(task=task))
    files = to_files(probe)
    assert from_files(files.tensors, files.card)(examples.vectors) == probe(examples.vectors)


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_bytes_that_were_turned_are_refused_or_change_nothing_that_counts(data: Any) -> None:
    which = data.draw(st.sampled_from(["tensors", "card"]))
    found = bytearray(getattr(FILES, which))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(found) - 1))
        found[at] = data.draw(st.integers(0, 255))
    files = ProbeFiles(FILES.tensors, FILES.card)
    changed = bytes(found)
    try:
        if which == "tensors":
            probe = from_files(changed, files.card)
        else:
            probe = from_files(files.tensors, changed)
    except InvalidArgument:
        return
    assert probe.info.digest == PROBE.info.digest  # a letter of the description, say
    assert probe(EXAMPLES.vectors[:2])


@given(st.integers(0, len(FILES.tensors) - 1), st.integers(0, len(FILES.card) - 1))
@settings(max_examples=60, deadline=None)
def test_files_that_were_cut_are_refused(tensors_end: int, card_end: int) -> None:
    refused(FILES.tensors[:tensors_end], FILES.card)
    refused(FILES.tensors, FILES.card[:card_end])


@given(st.binary(max_size=200), st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_refused(one: bytes, other: bytes) -> None:
    refused(one, other)
    refused(one, FILES.card)
    refused(FILES.tensors, other)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(json.loads(FILES.card))), JSON)
@settings(max_examples=200, deadline=None)
def test_a_card_with_anything_in_a_field_is_refused_or_sound(name: str, value: Any) -> None:
    try:
        probe = from_files(FILES.tensors, card(**{name: value}))
    except InvalidArgument:
        return
    assert to_files(probe).tensors == FILES.tensors


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"labels": ["label 0", "label 1"]},
        {"labels": ["label 0", "label 0", "label 2"]},
        {"labels": ["", "b", "c"]},
        {"labels": ["x" * 201, "b", "c"]},
        {"labels": ["\ud800", "b", "c"]},
        {"task": "regression"},
        {"task": "poetry"},
        {"spaces": []},
        {"spaces": [None]},
        {"version": -1},
        {"version": 10**400},
        {"created_at": float("nan")},
        {"alpha": float("inf")},
        {"alpha": 2},
        {"digest": "0" * 16},
        {"figures": {"accuracy": "high"}},
        {"figures": {"accuracy": True}},
        {"report": "text"},
        {"license": None},
        {"min_speech_seconds": "0.5"},
    ],
)
def test_a_card_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    refused(FILES.tensors, card(**change))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": np.zeros((4, 2), np.float32)},
        {"weights": np.zeros((4, 3), np.float64)},
        {"weights": np.zeros((4, 3), np.float32)},
        {"bias": np.full(3, np.nan, np.float32)},
        {"temperature": np.zeros(1, np.float32)},
        {"references": np.zeros((0, 4), np.float16)},
        {"references": np.zeros((2001, 4), np.float16)},
        {"references": np.zeros(4, np.float16)},
        {"curve": np.zeros(3, np.float32)},
        {"belonging": np.linspace(1, 0, 201, dtype=np.float32)},
        {"more": np.zeros(1, np.float32)},
    ],
)
def test_numbers_that_cannot_be_are_refused(change: dict[str, np.ndarray]) -> None:
    refused(tensors(**change), FILES.card)


def test_files_have_a_size_limit() -> None:
    refused(FILES.tensors, b" " * ((4 << 20) + 1))
    refused(b"\0" * ((64 << 20) + 1), FILES.card)


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"format": 1, "x": ' + b"[" * 100_000,
        b'{"format": 1e999}',
        b'{"format": NaN}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b"\xff\xfe",
        b"null",
    ],
)
def test_json_that_would_break_a_reader_is_refused(text: bytes) -> None:
    refused(FILES.tensors, text)


def test_a_header_that_promises_too_much_is_refused() -> None:
    header = b'{"mean":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    refused(len(header).to_bytes(8, "little") + header, FILES.card)
    refused((1 << 60).to_bytes(8, "little") + header, FILES.card)
