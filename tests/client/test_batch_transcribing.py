"""Batches from Python: each recording in its place, whatever became of it."""

from pathlib import Path

import numpy as np
import pytest

from embedsvc import Client
from embedsvc.client import Audible
from embedsvc.errors import AudioEmpty, AudioUndecodable, HeadNotFound
from embedsvc.samples import clips
from embedsvc.types import Floats


def operations(client: Client) -> list[str]:
    """The names of what the server still knows."""
    from google.longrunning import operations_pb2  # only here

    reply = client._stubs.operations.ListOperations(operations_pb2.ListOperationsRequest())
    return [each.name for each in reply.operations]


def mixed(*sources: Audible) -> list[Audible]:
    return list(sources)


def test_every_source_has_an_answer_in_its_place(
    client: Client, clip: Path, wav: bytes, speech: Floats, tmp_path: Path
) -> None:
    missing = tmp_path / "missing.wav"
    sources = mixed(
        missing,
        clip,
        b"",
        (speech, 16_000),
        b"no sound in here" * 64,
        (np.zeros(32_000, np.float32), 16_000),
        wav,
        str(missing),
    )
    before = operations(client)
    told: list[tuple[int, int]] = []
    asked = client.transcribe_batch(sources, tell=lambda now: told.append((now.done, now.total)))
    found = list(asked)
    assert [each.place for each in found] == list(range(len(sources)))
    assert {each.place: type(each.error) for each in found if each.error} == {
        0: AudioUndecodable,
        2: AudioEmpty,
        4: AudioUndecodable,
        7: AudioUndecodable,
    }
    texts = {each.place: each.transcript.text for each in found if each.transcript}
    assert texts[1] == client.transcribe(clip).text
    assert texts[3] == texts[6] == client.transcribe((speech, 16_000)).text
    assert texts[5] == ""
    assert all(each.work_seconds > 0 for each in found if each.transcript)
    assert told[-1] == (6, 6)
    assert operations(client) == before


def test_who_leaves_ends_the_work(client: Client) -> None:
    noise = (np.random.default_rng(0).normal(0, 0.1, 16_000 * 600).astype(np.float32), 16_000)
    before = operations(client)
    written = client.transcribe_batch([clips("archive")[0].path, noise])
    assert next(written).transcript
    written.close()  # type: ignore[attr-defined]  # a generator
    assert operations(client) == before


def test_nothing_that_can_be_read_needs_no_server(client: Client, tmp_path: Path) -> None:
    (found,) = client.transcribe_batch([tmp_path / "none.wav"])
    assert isinstance(found.error, AudioUndecodable)
    assert list(client.transcribe_batch([])) == []


def test_what_would_befall_all_is_raised(client: Client, clip: Path) -> None:
    with pytest.raises(HeadNotFound, match="latin"):
        list(client.transcribe_batch([clip], head="latin"))
