"""Operations of a server: how many there may be, and which wait for which."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from google.longrunning import operations_pb2

from embedsvc.samples import clips
from embedsvc.service import convert, paging
from embedsvc.testing import serving
from embedsvc.v1 import collection_pb2, transcription_pb2
from tests.probes import toys
from tests.service.calls import Stubs, pcm_format, refused, s16, speech
from tests.service.probing import ended, trained, training, workfolder

Request = transcription_pb2.BatchTranscribeRequest
MOST = 3


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "data"


@pytest.fixture(scope="module")
def few(home: Path) -> Iterator[Stubs]:
    """A server that takes few operations at a time."""
    settings = {"data": str(home), "server": {"max_operations": MOST}}
    with serving(settings) as target, Stubs(target) as stubs:
        yield stubs


def batch(seconds: int) -> Iterator[Any]:
    yield Request(config=Request.Config())
    yield Request(file=Request.File(id="long", pcm=pcm_format()))
    sound = s16(speech(1))
    for _ in range(seconds):
        yield Request(audio=sound)


def example(name: str) -> Iterator[Any]:
    spaces = [toys.space("t")]
    yield from training(name, spaces, toys.drawn(spaces))


def cancelled(stubs: Stubs, name: str) -> None:
    stubs.operations.CancelOperation(operations_pb2.CancelOperationRequest(name=name), timeout=10)
    ended(stubs, name)


def test_a_training_ends_while_a_long_batch_runs(few: Stubs) -> None:
    long = few.transcription.BatchTranscribe(batch(900), timeout=60)
    probe = trained(few, few.probes.TrainProbeOnVectors(example("short"), timeout=60))
    assert probe.labels == ["cat", "dog"]
    asked = operations_pb2.GetOperationRequest(name=long.name)
    assert not few.operations.GetOperation(asked, timeout=10).done
    cancelled(few, long.name)


def test_what_cannot_wait_is_refused_before_it_is_sent(few: Stubs, home: Path) -> None:
    # The others wait for the first, which is long.
    begun = [
        few.transcription.BatchTranscribe(batch(length), timeout=60).name for length in (900, 2, 2)
    ]
    assert len(begun) == MOST
    folders = sorted((home / "transcripts").iterdir())
    sent = []

    def watched(messages: Iterator[Any]) -> Iterator[Any]:
        for message in messages:
            sent.append(message)
            yield message
            time.sleep(0.05)

    calls = (
        (few.transcription.BatchTranscribe, watched(batch(100))),
        (few.probes.TrainProbeOnVectors, watched(example("later"))),
    )
    for call, messages in calls:
        refusal = refused(call, messages)
        assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "QUEUE_FULL")
        assert refusal.retry_seconds
        assert refusal.facts["max_operations"] == str(MOST)
    assert len(sent) < 50
    assert sorted((home / "transcripts").iterdir()) == folders
    assert workfolder(home) == []
    made = collection_pb2.CreateCollectionRequest(name="x")
    few.collections.CreateCollection(made, timeout=30)
    fit = collection_pb2.FitTransformRequest(collection="x")
    assert refused(few.collections.FitTransform, fit).reason == "QUEUE_FULL"
    for name in begun:
        cancelled(few, name)
    (clip, *_) = clips()
    again = [Request(config=Request.Config()), Request(file=Request.File(id="a"))]
    again.append(Request(audio=clip.data()))
    over = ended(few, few.transcription.BatchTranscribe(iter(again), timeout=60).name)
    assert over.HasField("response")


def test_operations_are_listed_once_each_while_others_are_deleted(
    few: Stubs, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [str(few.transcription.BatchTranscribe(batch(1), timeout=60).name) for _ in range(MOST)]
    for name in names:
        ended(few, name)
    asked = operations_pb2.ListOperationsRequest()
    listed = [each.name for each in few.operations.ListOperations(asked, timeout=30).operations]
    assert listed[-MOST:] == names
    # Pages of one: as the caller asks, or since a message takes no more.
    monkeypatch.setattr(convert, "MESSAGE_SHARE", 1e-9)
    found = []
    while True:
        page = few.operations.ListOperations(asked, timeout=30)
        (told,) = page.operations
        found.append(told.name)
        gone = operations_pb2.DeleteOperationRequest(name=told.name)
        few.operations.DeleteOperation(gone, timeout=30)
        if not page.next_page_token:
            break
        asked.page_token = page.next_page_token
    assert found == listed
    asked.page_token = paging.token("one of before", "operations")
    assert refused(few.operations.ListOperations, asked).reason == "PAGE_TOKEN"
