"""Many files written down by an operation: whatever they are, and whatever befalls the server."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.longrunning import operations_pb2
from google.protobuf import duration_pb2

from embedsvc.samples import clips
from embedsvc.testing import serving
from embedsvc.types import Floats
from embedsvc.v1 import operation_pb2, transcription_pb2, types_pb2
from tests.service.calls import (
    RATE,
    Stubs,
    file_of,
    item_refusal,
    pcm_format,
    refused,
    s16,
    speech,
    upload,
)
from tests.service.processes import Server

Request = transcription_pb2.BatchTranscribeRequest
Options = transcription_pb2.DecodeOptions
File = tuple[str, bytes]

CLIPS = [clip.data() for clip in clips("archive")[:4]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "data"


@pytest.fixture(scope="module")
def batches(home: Path) -> Iterator[Stubs]:
    """A server for these tests alone."""
    limits = {"max_batch_files": 12, "max_batch_bytes": 40_000_000, "max_upload_bytes": 25_000_000}
    with serving({"data": str(home), "audio": limits}) as target, Stubs(target) as stubs:
        yield stubs


def messages(*files: File, chunk: int = 100_000, **config: Any) -> Iterator[Any]:
    yield Request(config=Request.Config(**config))
    for name, data in files:
        form = pcm_format() if name.endswith(".pcm") else None
        yield Request(file=Request.File(id=name, pcm=form))
        for place in range(0, len(data), chunk):
            yield Request(audio=data[place : place + chunk])


def begun(stubs: Stubs, *files: File, **config: Any) -> str:
    """The name of the operation of a new batch."""
    operation = stubs.transcription.BatchTranscribe(messages(*files, **config), timeout=60)
    return str(operation.name)


def waited(stubs: Stubs, name: str, seconds: int = 60) -> Any:
    """An operation when it is over."""
    limit = duration_pb2.Duration(seconds=seconds)
    request = operations_pb2.WaitOperationRequest(name=name, timeout=limit)
    operation = stubs.operations.WaitOperation(request, timeout=seconds + 5)
    assert operation.done, operation
    return operation


def counts(stubs: Stubs, name: str) -> transcription_pb2.BatchTranscribeResponse:
    response = transcription_pb2.BatchTranscribeResponse()
    operation = waited(stubs, name)
    assert operation.response.Unpack(response), operation
    return response


def listed(stubs: Stubs, name: str, size: int = 0, **fields: Any) -> list[Any]:
    """What came of all files of a batch that is over."""
    request = transcription_pb2.ListTranscriptsRequest(operation=name, page_size=size, **fields)
    found: list[Any] = []
    while True:
        page = stubs.transcription.ListTranscripts(request, timeout=30)
        assert not size or len(page.transcripts) <= size
        found += page.transcripts
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


def finished(stubs: Stubs, name: str, count: int) -> list[Any]:
    """What came of the first files, when so many are written; the batch may go on."""
    request = transcription_pb2.ListTranscriptsRequest(operation=name)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        found = stubs.transcription.ListTranscripts(request, timeout=30).transcripts
        if len(found) >= count:
            return list(found)
        time.sleep(0.02)
    raise AssertionError(f"{count} files were not written in a minute")


def alone(stubs: Stubs, data: bytes, **config: Any) -> list[Any]:
    """The segments of one file by itself."""
    kind = transcription_pb2.TranscribeUploadRequest
    asked = upload(kind, kind.Config(**config), data)
    *segments, _ = stubs.transcription.TranscribeUpload(asked, timeout=60)
    return [each.segment for each in segments]


def folders(home: Path) -> list[Path]:
    folder = home / "transcripts"
    return sorted(folder.iterdir()) if folder.is_dir() else []


def long(seconds: float) -> bytes:
    """Raw PCM of sounds like speech."""
    return s16(np.tile(speech(10), int(seconds / 10)))


def silence() -> Floats:
    return np.zeros(3 * RATE, np.float32)


def test_files_of_any_kind_are_told_of_one_by_one(batches: Stubs, home: Path) -> None:
    files = [
        ("good", CLIPS[0]),
        ("never sound", b"no sound in here" * 64),
        ("empty", b""),
        ("silent", file_of(silence())),
        ("odd.pcm", b"\0" * 64_001),
        ("cut", CLIPS[1][:40]),
        ("too short", file_of(silence()[:200])),
        ("raw.pcm", s16(speech(2))),
        ("last", CLIPS[2]),
    ]
    name = begun(batches, *files, options=Options(alternatives=1))
    told = counts(batches, name)
    found = listed(batches, name, size=2)
    assert [each.id for each in found] == [each for each, _ in files]
    wrong = {each.id: item_refusal(each.status).reason for each in found if each.HasField("status")}
    assert wrong == {
        "never sound": "AUDIO_UNDECODABLE",
        "empty": "AUDIO_EMPTY",
        "odd.pcm": "PCM_SIZE",
        "cut": "AUDIO_UNDECODABLE",
        "too short": "AUDIO_TOO_SHORT",
    }
    by_id = {each.id: each for each in found}
    assert not any(by_id[each].HasField("transcript") for each in wrong)
    for each, data in (("good", CLIPS[0]), ("last", CLIPS[2])):
        expected = alone(batches, data, options=Options(alternatives=1))
        assert list(by_id[each].transcript.segments) == expected
        assert by_id[each].work.ToNanoseconds() > 0
    assert not by_id["silent"].transcript.segments
    warnings = [each.code for each in by_id["silent"].transcript.warnings]
    assert warnings == [types_pb2.WARNING_CODE_MOSTLY_SILENCE]
    assert (by_id["silent"].audio_seconds, by_id["raw.pcm"].audio_seconds) == (3, 2)
    assert (told.files, told.failed) == (len(files), len(wrong))
    assert told.audio_seconds == pytest.approx(sum(each.audio_seconds for each in found))
    assert not any(path.suffix == ".audio" for each in folders(home) for path in each.iterdir())


def test_results_can_be_read_without_words_and_go_with_the_operation(
    batches: Stubs, home: Path
) -> None:
    before = len(folders(home))
    name = begun(batches, ("one", CLIPS[0]), ("two", CLIPS[1]))
    assert counts(batches, name).failed == 0
    full, bare = listed(batches, name), listed(batches, name, omit_words=True)
    for one, other in zip(full, bare, strict=True):
        (whole,), (short,) = one.transcript.segments, other.transcript.segments
        assert whole.words
        assert not short.words
        assert (whole.text, whole.span) == (short.text, short.span)
    assert len(folders(home)) == before + 1
    batches.operations.DeleteOperation(operations_pb2.DeleteOperationRequest(name=name))
    assert len(folders(home)) == before
    asked = transcription_pb2.ListTranscriptsRequest(operation=name)
    assert refused(batches.transcription.ListTranscripts, asked).reason == "OPERATION_NOT_FOUND"


def test_two_batches_keep_their_results_apart(batches: Stubs) -> None:
    first = begun(batches, ("same", CLIPS[0]), ("second", CLIPS[1]))
    second = begun(batches, ("same", CLIPS[2]), options=Options(omit_words=True))
    assert counts(batches, second).files == 1
    assert counts(batches, first).files == 2
    (other,) = listed(batches, second)
    one = listed(batches, first)[0]
    assert one.transcript.segments[0].text != other.transcript.segments[0].text
    assert not other.transcript.segments[0].words
    asked = transcription_pb2.ListTranscriptsRequest(operation=first, page_size=1)
    asked.page_token = batches.transcription.ListTranscripts(asked).next_page_token
    asked.operation = second
    assert refused(batches.transcription.ListTranscripts, asked).reason == "PAGE_TOKEN"


def test_a_batch_is_cancelled_within_a_file(batches: Stubs, home: Path) -> None:
    name = begun(batches, ("short", CLIPS[0]), ("long.pcm", long(600)), ("after", CLIPS[1]))
    finished(batches, name, 1)
    metadata = operation_pb2.OperationMetadata()
    while metadata.step != "long.pcm":
        asked = operations_pb2.GetOperationRequest(name=name)
        batches.operations.GetOperation(asked).metadata.Unpack(metadata)
    assert (metadata.kind, metadata.done_steps, metadata.total_steps) == ("batch-transcribe", 1, 3)
    started = time.monotonic()
    batches.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name))
    ended = waited(batches, name, 10)
    assert time.monotonic() - started < 3
    assert item_refusal(ended.error).code == "CANCELLED"
    assert [each.id for each in listed(batches, name)] == ["short"]
    assert not any(path.suffix == ".audio" for each in folders(home) for path in each.iterdir())
    again = begun(batches, ("next", CLIPS[0]))
    assert counts(batches, again).failed == 0


REFUSED: dict[str, tuple[list[Any], str, str]] = {
    "too many files": (
        list(messages(*((f"f{n}", b"RIFF") for n in range(13)))), "FIELD_INVALID", "file"
    ),
    "no files": (list(messages()), "FIELD_INVALID", "file"),
    "the same id twice": (
        list(messages(("a", b"RIFF"), ("a", b"RIFF"))), "FIELD_INVALID", "file.id"
    ),
    "an empty id": (list(messages(("", b"RIFF"))), "FIELD_INVALID", "file.id"),
    "an endless id": (list(messages(("a" * 201, b"RIFF"))), "FIELD_INVALID", "file.id"),
    "a large file": (
        list(messages(("a", bytes(25_000_001)), chunk=1_000_000)), "AUDIO_TOO_LONG", "audio"
    ),
    "large files": (
        list(messages(("a", bytes(21_000_000)), ("b", bytes(21_000_000)), chunk=1_000_000)),
        "FIELD_INVALID", "audio",
    ),
    "audio of no file": (
        [*messages(), Request(audio=b"RIFF")], "STREAM_PROTOCOL", "file"
    ),
    "a second config": (
        [*messages(("a", b"RIFF")), Request(config=Request.Config())], "STREAM_PROTOCOL", ""
    ),
    "no config": ([Request(file=Request.File(id="a"))], "STREAM_PROTOCOL", "config"),
    "a head that is none": (list(messages(("a", b"RIFF"), head="latin")), "HEAD_NOT_FOUND",
        "config.head"),
    "an endless beam": (
        list(messages(("a", b"RIFF"), options=Options(beam=65))), "FIELD_INVALID",
        "config.options.beam",
    ),
    "PCM of no format": (
        [*messages(), Request(file=Request.File(id="a", pcm=types_pb2.PcmFormat()))],
        "FIELD_INVALID", "file.pcm.format",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_batch_that_cannot_be_is_refused_and_leaves_nothing(
    batches: Stubs, home: Path, what: str
) -> None:
    sent, reason, path = REFUSED[what]
    before = folders(home)
    refusal = refused(batches.transcription.BatchTranscribe, iter(sent))
    assert (refusal.reason, refusal.path) == (reason, path)
    assert folders(home) == before


def test_a_caller_that_leaves_while_sending_leaves_nothing(batches: Stubs, home: Path) -> None:
    before = folders(home)

    def sent() -> Iterator[Any]:
        yield from messages(("a", CLIPS[0]))
        until = time.monotonic() + 30
        while folders(home) == before and time.monotonic() < until:
            time.sleep(0.02)
        call.cancel()

    call: Any = batches.transcription.BatchTranscribe.future(sent())
    until = time.monotonic() + 30
    while not call.done() or folders(home) != before:
        assert time.monotonic() < until, folders(home)
        time.sleep(0.02)
    assert call.cancelled()


def test_only_batches_have_transcripts(batches: Stubs) -> None:
    for name, reason in (("operations/none", "OPERATION_NOT_FOUND"), ("none", "FIELD_INVALID")):
        asked = transcription_pb2.ListTranscriptsRequest(operation=name)
        refusal = refused(batches.transcription.ListTranscripts, asked)
        assert refusal.reason == reason


@pytest.mark.parametrize("last", [CLIPS[0], b"no sound in here" * 64], ids=["a result", "no sound"])
def test_a_full_disk_ends_a_batch_and_is_told(batches: Stubs, home: Path, last: bytes) -> None:
    before = folders(home)
    name = begun(batches, ("first.pcm", long(60)), ("last", last))
    (folder,) = [each for each in folders(home) if each not in before]
    (folder / "1.transcript").symlink_to("/dev/full")
    assert item_refusal(waited(batches, name).error).reason == "DISK_FULL"
    assert [each.id for each in listed(batches, name)] == ["first.pcm"]


def test_a_killed_server_goes_on_with_the_next_file(tmp_path: Path) -> None:
    files = [
        ("one", CLIPS[0]),
        ("broken", b"no sound in here" * 64),
        ("long.pcm", long(180)),
        *((f"file {place}", data) for place, data in enumerate(CLIPS)),
    ]
    with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
        name = begun(stubs, *files)
        before = finished(stubs, name, 2)
        assert len(before) < len(files), "it was killed too late"
        server.process.kill()
    with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
        assert (counts(stubs, name).files, counts(stubs, name).failed) == (len(files), 1)
        found = listed(stubs, name)
        assert [each.id for each in found] == [each for each, _ in files]
        assert found[: len(before)] == before, "with the time it took: it is not done again"
        assert list(found[0].transcript.segments) == alone(stubs, CLIPS[0])
        assert list(found[2].transcript.segments) == alone(stubs, files[2][1], pcm=pcm_format())


@pytest.mark.slow  # three servers, one after the other
def test_a_file_that_ends_the_server_is_passed_by(tmp_path: Path) -> None:
    files = [("deadly.pcm", long(300)), ("good", CLIPS[0])]
    name = ""
    for _ in range(2):
        with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
            name = name or begun(stubs, *files)
            metadata = operation_pb2.OperationMetadata()
            while metadata.step != "deadly.pcm":
                asked = operations_pb2.GetOperationRequest(name=name)
                stubs.operations.GetOperation(asked).metadata.Unpack(metadata)
            (folder,) = folders(tmp_path / "data")
            while not (folder / "0.transcript").is_file():
                time.sleep(0.01)
            server.process.kill()
    with Server(tmp_path / "data") as server, Stubs(server.address()) as stubs:
        assert counts(stubs, name).failed == 1
        deadly, good = listed(stubs, name)
    assert item_refusal(deadly.status).reason == "AUDIO_QUARANTINED"
    assert good.transcript.segments
