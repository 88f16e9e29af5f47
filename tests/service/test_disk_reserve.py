"""Uploads leave some of the disk free, so that what must be written still can be."""

import os
import shlex
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedsvc.testing import serving
from embedsvc.v1 import collection_pb2, embedding_pb2, transcription_pb2, types_pb2
from tests.probes import toys
from tests.service.calls import Stubs, adding, pcm_format, ready, refused, upload
from tests.service.probing import training, workfolder
from tests.service.processes import Server

MEBIBYTE = 1 << 20
SMALL = 32 * MEBIBYTE
LEAST = SMALL // 8
CHUNK = 256 << 10
Batch = transcription_pb2.BatchTranscribeRequest
Examples = toys.drawn([toys.space("t", 256)], each=3_000)


class Disk:
    """What the system tells of a disk with so much room for what comes now."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.looks = 0

    def statvfs(self, _: object) -> os.statvfs_result:
        """Each look finds a megabyte less."""
        free = self.room - self.looks * MEBIBYTE
        self.looks += 1
        return os.statvfs_result((1, 1, SMALL, LEAST + free, LEAST + free, 0, 0, 0, 0, 255))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home") / "data"


@pytest.fixture(scope="module")
def stubs(home: Path) -> Iterator[Stubs]:
    with serving({"data": str(home)}) as target, Stubs(target) as made:
        made.collections.CreateCollection(collection_pb2.CreateCollectionRequest(name="x"))
        yield made


def uploading(method: str) -> Iterator[Any]:
    data = bytes(8 * MEBIBYTE)
    if method == "EmbedUpload":
        kind = embedding_pb2.EmbedUploadRequest
        return upload(kind, kind.Config(pcm=pcm_format()), data, CHUNK)
    if method == "TranscribeUpload":
        sent = transcription_pb2.TranscribeUploadRequest
        return upload(sent, sent.Config(pcm=pcm_format()), data, CHUNK)
    if method == "UploadRecording":
        added = collection_pb2.UploadRecordingRequest
        config = added.Config(collection="x", id="one", pcm=pcm_format())
        return upload(added, config, data, CHUNK)
    if method == "BatchTranscribe":
        return batch(data)
    return training("full", Examples.spaces, Examples)


def batch(data: bytes) -> Iterator[Any]:
    yield Batch(config=Batch.Config())
    yield Batch(file=Batch.File(id="one", pcm=pcm_format()))
    for place in range(0, len(data), CHUNK):
        yield Batch(audio=data[place : place + CHUNK])


def called(stubs: Stubs, method: str) -> Any:
    services = (stubs.embedding, stubs.transcription, stubs.collections, stubs.probes)
    return next(getattr(each, method) for each in services if hasattr(each, method))


METHODS = (
    "EmbedUpload",
    "TranscribeUpload",
    "UploadRecording",
    "BatchTranscribe",
    "TrainProbeOnVectors",
)


@pytest.mark.parametrize("room", [-1, 2 * MEBIBYTE], ids=["before", "in the middle"])
@pytest.mark.parametrize("method", METHODS)
def test_an_upload_that_would_fill_the_disk_is_refused_and_leaves_nothing(
    stubs: Stubs, home: Path, monkeypatch: pytest.MonkeyPatch, method: str, room: int
) -> None:
    disk = Disk(room)
    monkeypatch.setattr(os, "statvfs", disk.statvfs)
    refusal = refused(called(stubs, method), uploading(method))
    assert (refusal.code, refusal.reason) == ("RESOURCE_EXHAUSTED", "DISK_FULL")
    assert refusal.facts == {"min_free_bytes": str(LEAST)}
    place = "for temporary files" if "Upload" in method else "`data_dir`"
    assert place in refusal.message
    assert disk.looks == 1 if room < 0 else disk.looks > 1
    assert workfolder(home) == []
    transcripts = home / "transcripts"
    assert not transcripts.exists() or list(transcripts.iterdir()) == []


def mounting(folder: Path) -> list[str]:
    """The command line under which others see a small disk at `folder`."""
    commands = f"mount -t tmpfs -o size={SMALL} tmpfs {shlex.quote(str(folder))}"
    inner = f'{commands} && mkdir "{folder}/data" "{folder}/tmp" && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", inner, "sh"]


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Where a small disk can be mounted; skips where the system does not let us."""
    folder = tmp_path / "small"
    folder.mkdir()
    try:
        tried = subprocess.run([*mounting(folder), "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if tried.returncode:
        pytest.skip("no file system can be mounted here")
    return folder


class Sender:
    """Sends a batch until little of the disk is free, then holds the stream."""

    def __init__(self, folder: Path, least: int) -> None:
        self._folder = folder
        self._least = least
        self.has_filled = threading.Event()
        self.over = threading.Event()

    def free(self) -> int:
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def __iter__(self) -> Iterator[Any]:
        yield from batch(b"")
        while self.free() > self._least + MEBIBYTE:
            yield Batch(audio=bytes(16 << 10))
            time.sleep(0.001)
        self.has_filled.set()
        self.over.wait(30)


def test_a_small_disk_that_is_full_of_an_upload_still_takes_writes(small: Path) -> None:
    with (
        Server(small / "data", within=mounting(small)) as server,
        Stubs(server.address()) as stubs,
    ):
        space = types_pb2.Space(fingerprint="t", dim=64)
        made = collection_pb2.CreateCollectionRequest(name="x", foreign_space=space)
        stubs.collections.CreateCollection(made, timeout=30)
        sender = Sender(Path(f"/proc/{server.process.pid}/root{small}"), LEAST)
        held = stubs.transcription.BatchTranscribe.future(iter(sender))
        assert sender.has_filled.wait(60)
        for method in ("EmbedUpload", "BatchTranscribe"):
            refusal = refused(called(stubs, method), uploading(method))
            assert (refusal.reason, refusal.facts) == ("DISK_FULL", {"min_free_bytes": str(LEAST)})
        assert sender.free() >= LEAST - CHUNK
        for number in range(20):
            sent = ready(f"r{number}", np.eye(64), "t", note="n" * 1_000)
            stubs.collections.AddRecordings(adding("x", sent), timeout=30)
        held.cancel()
        sender.over.set()
        until = time.monotonic() + 30
        while sender.free() < SMALL // 2 and time.monotonic() < until:
            time.sleep(0.05)
        assert sender.free() > SMALL // 2
