import io
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from embedsvc.audio import DecodePool, Door, FileStream, decode
from embedsvc.errors import AudioEmpty, AudioTooLong, AudioTruncated, AudioUndecodable, Unavailable
from embedsvc.types import Floats

Encode = Callable[..., bytes]
Chirp = Callable[..., Floats]
DOOR = Door()


@pytest.fixture(scope="module")
def pool() -> Iterator[DecodePool]:
    with DecodePool(workers=2) as pool:
        yield pool


@pytest.fixture
def long_file(encode: Encode, tmp_path: Path) -> Iterator[BinaryIO]:
    path = tmp_path / "long"
    path.write_bytes(encode(np.zeros(16_000 * 120, np.int16), 16_000, "FLAC"))
    with path.open("rb") as file:
        yield file


def kill(pool: DecodePool) -> None:
    """Kill the idle workers and wait until they are dead."""
    for worker in pool._idle:
        os.kill(worker.pid, signal.SIGKILL)
        worker._process.wait()


@pytest.mark.parametrize(("container", "codec"), [("WAV", "FLOAT"), ("FLAC", None), ("MP3", None)])
def test_the_result_is_that_of_decoding_here(
    pool: DecodePool, encode: Encode, chirp: Chirp, container: str, codec: str | None
) -> None:
    file = encode(np.stack([chirp(5, 44_100)] * 2, 1), 44_100, container, codec)
    here, there = decode(file, DOOR), pool.decode(file, DOOR)
    assert here.samples.tobytes() == there.samples.tobytes()
    assert here.warnings == there.warnings


def test_errors_arrive_as_they_were_raised(pool: DecodePool, encode: Encode, chirp: Chirp) -> None:
    with pytest.raises(AudioEmpty):
        pool.decode(b"", DOOR)
    with pytest.raises(AudioTruncated):
        pool.decode(encode(chirp(), 16_000)[:-100], Door(strict=True))
    with pytest.raises(AudioTooLong) as caught:
        pool.decode(encode(chirp(2), 16_000), Door(max_seconds=1))
    assert caught.value.field == "audio"
    assert caught.value.facts == {"limit_seconds": "1", "seconds": "2.0"}


def test_a_worker_is_kept_for_the_next_file(encode: Encode, chirp: Chirp) -> None:
    file = encode(chirp(), 16_000)
    with DecodePool() as pool:
        pool.decode(file, DOOR)
        first = pool._idle[0].pid
        with pytest.raises(AudioUndecodable):
            pool.decode(b"no sound at all", DOOR)
        pool.decode(file, DOOR)
        assert [worker.pid for worker in pool._idle] == [first]


def test_a_stream_is_that_of_the_file_and_leaves_its_place(
    pool: DecodePool, long_file: BinaryIO
) -> None:
    long_file.seek(7)
    with pool.stream(long_file, DOOR) as stream:
        blocks = list(stream)
    assert long_file.tell() == 7
    long_file.seek(0)
    here = FileStream(io.BytesIO(long_file.read()), DOOR)
    np.testing.assert_array_equal(np.concatenate(blocks), np.concatenate(list(here)))
    assert stream.warnings == here.warnings
    assert max(map(len, blocks)) < 16_000 * 3


def test_a_stream_that_is_left_early_costs_only_its_worker(
    pool: DecodePool, long_file: BinaryIO, encode: Encode, chirp: Chirp
) -> None:
    with pool.stream(long_file, DOOR) as stream:
        next(iter(stream))
    assert pool.decode(encode(chirp(), 16_000), DOOR).seconds == 1.0


def test_a_crash_is_undecodable_and_the_next_file_is_decoded(
    pool: DecodePool, long_file: BinaryIO, encode: Encode, chirp: Chirp
) -> None:
    with pool.stream(long_file, DOOR) as stream:
        next(iter(stream))
        os.kill(stream._worker.pid, signal.SIGSEGV)
        with pytest.raises(AudioUndecodable, match="crashed"):
            list(stream)
    assert pool.decode(encode(chirp(), 16_000), DOOR).seconds == 1.0


def test_a_worker_that_died_while_idle_is_replaced_unseen(
    pool: DecodePool, encode: Encode, chirp: Chirp
) -> None:
    file = encode(chirp(), 16_000)
    pool.decode(file, DOOR)
    kill(pool)
    assert pool.decode(file, DOOR).seconds == 1.0


@pytest.fixture
def dying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Path]:
    """Lets so many of the next workers be killed while they start; the file lists all starts."""

    def first(deaths: int) -> Path:
        starts, program = tmp_path / "starts", tmp_path / "python"
        starts.touch()
        program.write_text(
            f"#!/bin/sh\necho $$ >> {starts}\n"
            f"[ $(wc -l < {starts}) -le {deaths} ] && kill -9 $$\n"
            f'exec {sys.executable} "$@"\n'
        )
        program.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(program))
        return starts

    return first


def test_a_worker_that_dies_while_it_starts_is_replaced_unseen(
    dying: Callable[[int], Path], encode: Encode, chirp: Chirp
) -> None:
    starts = dying(2)
    with DecodePool() as pool:
        assert pool.decode(encode(chirp(), 16_000), DOOR).seconds == 1.0
    assert len(starts.read_text().split()) == 3


def test_when_none_will_start_the_caller_may_try_again(
    dying: Callable[[int], Path], encode: Encode, chirp: Chirp
) -> None:
    starts = dying(1_000)
    with (
        DecodePool() as pool,
        pytest.raises(Unavailable, match="did not start; try again") as caught,
    ):
        pool.decode(encode(chirp(), 16_000), DOOR)
    assert caught.value.retry_after_seconds == 1.0
    assert len(starts.read_text().split()) == 3


def test_a_worker_that_hangs_is_killed(encode: Encode, chirp: Chirp) -> None:
    file = encode(chirp(), 16_000)
    with DecodePool(timeout=0.5) as pool:
        pool.decode(file, DOOR)
        stuck = pool._idle[0].pid
        os.kill(stuck, signal.SIGSTOP)
        start = time.monotonic()
        with pytest.raises(AudioUndecodable, match="hung"):
            pool.decode(file, DOOR)
        assert time.monotonic() - start < 10
        with pytest.raises(ProcessLookupError):
            os.kill(stuck, 0)
        pool._timeout = 30.0
        assert pool.decode(file, DOOR).seconds == 1.0


def test_a_bomb_is_refused_and_others_go_on(pool: DecodePool, encode: Encode, chirp: Chirp) -> None:
    bomb = bytearray(encode(np.zeros(16_000 * 1_200, np.int16), 16_000, "FLAC"))
    bomb[21] &= 0xF0
    bomb[22:26] = bytes(4)
    file = encode(chirp(), 16_000)
    with ThreadPoolExecutor(4) as threads:
        refused = threads.submit(pool.decode, bytes(bomb), DOOR)
        accepted = [threads.submit(pool.decode, file, DOOR) for _ in range(6)]
        assert {future.result().seconds for future in accepted} == {1.0}
        with pytest.raises(AudioTooLong):
            refused.result()


def test_many_threads_get_each_their_own(pool: DecodePool, encode: Encode, chirp: Chirp) -> None:
    files = [encode(chirp(0.1 * (index + 1)), 16_000) for index in range(12)]
    with ThreadPoolExecutor(6) as threads:
        found = list(threads.map(lambda file: pool.decode(file, DOOR), files))
    assert [len(audio.samples) for audio in found] == [1_600 * (index + 1) for index in range(12)]


def test_a_stream_does_not_keep_others_waiting(
    long_file: BinaryIO, encode: Encode, chirp: Chirp
) -> None:
    with DecodePool(workers=1) as pool, pool.stream(long_file, DOOR) as stream:
        next(iter(stream))
        assert pool.decode(encode(chirp(), 16_000), DOOR).seconds == 1.0


def test_a_closed_pool_refuses_and_leaves_no_process(encode: Encode, chirp: Chirp) -> None:
    pool = DecodePool()
    pool.decode(encode(chirp(), 16_000), DOOR)
    worker = pool._idle[0].pid
    pool.close()
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
    with pytest.raises(Unavailable):
        pool.decode(encode(chirp(), 16_000), DOOR)


def test_a_worker_in_use_ends_when_it_is_done_after_close(long_file: BinaryIO) -> None:
    pool = DecodePool()
    with pool.stream(long_file, DOOR) as stream:
        worker = stream._worker.pid
        pool.close()
        assert sum(map(len, stream)) == 120 * 16_000
    with pytest.raises(ProcessLookupError):
        os.kill(worker, 0)
