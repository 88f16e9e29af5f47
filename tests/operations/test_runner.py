"""Operations that count, wait and fail, through restarts."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from embedsvc.errors import (
    Cancelled,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    OperationNotFound,
    OperationRunning,
    QueueFull,
)
from embedsvc.operations import Kind, Operation, Operations, Progress, Tell, runner
from embedsvc.operations.keeper import KEPT_SECONDS


class Work:
    """Kinds of work, a gate that holds one of them, and what was seen."""

    def __init__(self, most: int = 16) -> None:
        self.most = most
        self.begun: list[Any] = []
        self.faults: list[tuple[str, BaseException]] = []
        self.gate = asyncio.Event()

    @asynccontextmanager
    async def operations(self, directory: Path) -> AsyncIterator[Operations]:
        kinds = {
            "count": Kind(self._count),
            "hold": Kind(self._hold),
            "hold aside": Kind(self._hold, "aside"),
            "refuse": Kind(self._refuse),
            "break": Kind(self._break),
        }
        operations = Operations(
            directory, kinds, lambda *fault: self.faults.append(fault), most=self.most
        )
        operations.start()
        try:
            yield operations
        finally:
            await operations.stop()

    async def _count(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        self.begun.append(request["upto"])
        for number in range(request["upto"]):
            tell(Progress(number, request["upto"], "counting"))
        return {"counted": request["upto"]}

    async def _hold(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        self.begun.append("hold")

        def wait() -> None:
            while not self.gate.is_set():
                tell(Progress(1, 2, "waiting"))
                time.sleep(0.005)

        await asyncio.to_thread(wait)
        return {}

    async def _refuse(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        raise InvalidArgument("`x` must not be", field="x")

    async def _break(self, request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        raise ZeroDivisionError("secret")


async def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


def kept(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


async def test_what_was_asked_is_done(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        begun = await operations.submit("count", "things/a", {"upto": 3})
        ended = await operations.wait(begun.id)
        assert (ended.result, ended.error, ended.starts) == ({"counted": 3}, None, 1)
        assert ended.progress == Progress(2, 3, "counting")
        assert operations.list() == (ended,)


async def test_an_end_is_known_after_a_restart(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        good = await operations.submit("count", "things/a", {"upto": 1})
        bad = await operations.submit("refuse", "things/b", {})
        ends = [await operations.wait(each.id) for each in (good, bad)]
    async with work.operations(tmp_path) as operations:
        again = [operations.get(each.id) for each in (good, bad)]
        assert again[0] == ends[0]
        assert isinstance(again[1].error, InvalidArgument)
        assert again[1].error.field == "x"
    assert work.begun == [1]


async def test_a_bug_says_nothing_and_stops_nothing(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        broken = await operations.submit("break", "things/a", {})
        after = await operations.submit("count", "things/b", {"upto": 1})
        assert (await operations.wait(after.id)).result == {"counted": 1}
        ended = operations.get(broken.id)
    assert isinstance(ended.error, Internal)
    assert "secret" not in str(ended.error)
    ((where, fault),) = work.faults
    assert where == f"operations/{broken.id}"
    assert isinstance(fault, ZeroDivisionError)


async def test_one_target_is_worked_on_once_at_a_time(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        first = await operations.submit("hold", "things/a", {})
        with pytest.raises(OperationRunning, match=first.id):
            await operations.submit("count", "things/a", {"upto": 1})
        work.gate.set()
        await operations.wait(first.id)
        second = await operations.submit("count", "things/a", {"upto": 1})
        assert (await operations.wait(second.id)).result


async def test_each_end_is_told_of_before_whoever_waits_knows(tmp_path: Path) -> None:
    told: list[Operation] = []

    async def work(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        if request["fails"]:
            raise InvalidArgument("no")
        return {}

    operations = Operations(tmp_path, {"work": Kind(work)}, lambda *_: None, told.append)
    waiting = await operations.submit("work", "c", {"fails": False})
    await operations.cancel(waiting.id)
    assert [each.id for each in told] == [waiting.id]
    operations.start()
    for fails in (True, False):
        begun = await operations.submit("work", "a", {"fails": fails})
        ended = await operations.wait(begun.id)
        assert told[-1] == ended
    await operations.stop()


async def test_waiting_ends_when_its_time_is_over(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        held = await operations.submit("hold", "things/a", {})
        seen = await operations.wait(held.id, 0.05)
        assert not seen.done
        assert seen.progress == Progress(1, 2, "waiting")
        work.gate.set()


async def test_work_in_hand_is_cancelled(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        held = await operations.submit("hold", "things/a", {})
        await until(lambda: work.begun)
        await operations.cancel(held.id)
        ended = await operations.wait(held.id, 5)
        assert isinstance(ended.error, Cancelled)
        await operations.cancel(held.id)
        assert operations.get(held.id) == ended


async def test_work_that_waits_is_cancelled_and_never_begun(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        await operations.submit("hold", "things/a", {})
        waiting = await operations.submit("count", "things/b", {"upto": 1})
        await operations.cancel(waiting.id)
        assert isinstance((await operations.wait(waiting.id)).error, Cancelled)
        work.gate.set()
        last = await operations.submit("count", "things/c", {"upto": 2})
        await operations.wait(last.id)
    assert work.begun == ["hold", 2]


async def test_what_was_not_over_begins_again_after_a_restart(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        held = await operations.submit("hold", "things/a", {})
        waiting = await operations.submit("count", "things/b", {"upto": 2})
        await until(lambda: work.begun)
    work.gate.set()
    async with work.operations(tmp_path) as operations:
        ends = [await operations.wait(each.id, 5) for each in (held, waiting)]
    assert [ended.result for ended in ends] == [{}, {"counted": 2}]
    assert [ended.starts for ended in ends] == [1, 1]  # a stop in order counts for nothing
    assert work.begun == ["hold", "hold", 2]


async def test_what_ends_the_process_each_time_is_given_up(tmp_path: Path) -> None:
    """Each time the process dies with no chance to keep anything."""
    starts = []
    for _ in range(3):
        starts.append(await dying(tmp_path))
    assert starts == [1, 2, 3]
    work = Work()
    async with work.operations(tmp_path) as operations:
        (held,) = operations.list()
        assert isinstance((await operations.wait(held.id)).error, Internal)
    assert not work.begun


async def dying(directory: Path) -> int:
    """Hold, and leave what is on disk then; how often it was begun by now."""
    work = Work()
    async with work.operations(directory) as operations:
        if not operations.list():
            await operations.submit("hold", "things/a", {})
        await until(lambda: work.begun)
        (held,) = operations.list()
        path = directory / f"{held.id}.json"
        kept = path.read_bytes()
    path.write_bytes(kept)
    return held.starts


async def test_only_what_is_over_can_be_deleted(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        held = await operations.submit("hold", "things/a", {})
        with pytest.raises(FailedPrecondition, match="is over"):
            await operations.delete(held.id)
        work.gate.set()
        await operations.wait(held.id)
        await operations.delete(held.id)
        with pytest.raises(OperationNotFound, match=held.id):
            operations.get(held.id)
    async with work.operations(tmp_path) as operations:
        assert not operations.list()


async def test_what_ended_long_ago_is_forgotten(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        done = await operations.submit("count", "things/a", {"upto": 1})
        await operations.wait(done.id)
    assert [each.id for each in operations._keeper.all(time.time())] == [done.id]
    assert not operations._keeper.all(time.time() + KEPT_SECONDS + 1)
    assert not (tmp_path / f"{done.id}.json").exists()


async def test_files_that_are_no_operations_are_passed_by(tmp_path: Path) -> None:
    work = Work()
    for name in ("x.json", f"{'0' * 32}.json", f"{'1' * 32}.json.tmp"):
        (tmp_path / name).write_text("{}")
    async with work.operations(tmp_path) as operations:
        assert not operations.list()


async def test_a_kind_that_is_not_known_any_more_ends_with_an_error(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        old = await operations.submit("gone", "things/a", {})
        ended = await operations.wait(old.id)
    assert isinstance(ended.error, FailedPrecondition)


async def test_of_many_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_KEPT", 3)
    work = Work()
    async with work.operations(tmp_path) as operations:
        ids = [(await operations.submit("count", f"t/{n}", {"upto": n})).id for n in range(6)]
        await until(lambda: len(operations.list()) == 3)
        assert [each.id for each in operations.list()] == ids[3:]
    async with work.operations(tmp_path) as operations:
        assert [each.id for each in operations.list()] == ids[3:]


async def test_a_disk_that_fails_at_the_end_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        first = await operations.submit("hold", "t/a", {})
        second = await operations.submit("count", "t/b", {"upto": 1})
        await until(lambda: work.begun)

        def fail(_: object) -> None:
            raise PermissionError("gone")

        monkeypatch.setattr(operations._keeper, "keep", fail)
        work.gate.set()
        ends = [await operations.wait(each.id, 5) for each in (first, second)]
        assert ends[0].result == {}
        assert ends[1].done
    assert work.faults


async def test_lanes_do_not_wait_for_each_other(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        long = await operations.submit("hold aside", "things/a", {})
        behind = await operations.submit("hold aside", "things/b", {})
        short = await operations.submit("count", "things/c", {"upto": 3})
        assert (await operations.wait(short.id, 10)).result == {"counted": 3}
        assert not operations.get(long.id).done
        assert operations.get(behind.id).starts == 0
        await operations.cancel(long.id)
        assert isinstance((await operations.wait(long.id, 5)).error, Cancelled)
        await until(lambda: operations.get(behind.id).starts)
    work.gate.set()
    async with work.operations(tmp_path) as operations:
        assert (await operations.wait(behind.id, 5)).result == {}


async def test_more_than_may_wait_are_refused_and_told_when_to_come_back(tmp_path: Path) -> None:
    work = Work(most=3)
    async with work.operations(tmp_path) as operations:
        held = await operations.submit("hold", "things/a", {})
        with operations.place("things/b"):
            await operations.submit("count", "things/c", {"upto": 1})
            with pytest.raises(QueueFull, match="at most 3 operations") as refusal:
                await operations.submit("count", "things/d", {"upto": 1})
            assert refusal.value.retry_after_seconds
            with pytest.raises(QueueFull), operations.place():
                pass
        sent = await operations.submit("count", "things/b", {"upto": 1})
        with pytest.raises(OperationRunning), operations.place("things/b"):
            pass
        work.gate.set()
        for each in (held, sent):
            await operations.wait(each.id)
        await operations.submit("count", "things/d", {"upto": 1})
    assert len(kept(tmp_path)) == 4


async def test_an_end_is_deleted_when_it_is_kept_and_whatever_is_told_of_it_fails(
    tmp_path: Path,
) -> None:
    """Whoever deletes at the first sight of an end comes before it is kept."""
    faults = []

    def over(operation: Operation) -> None:
        time.sleep(0.05)
        raise ZeroDivisionError

    async def work(request: Mapping[str, Any], tell: Tell) -> Mapping[str, Any]:
        return {}

    kinds = {"work": Kind(work)}
    operations = Operations(tmp_path, kinds, lambda *fault: faults.append(fault), over)
    operations.start()
    for _ in range(3):
        begun = await operations.submit("work", "a", {})
        await until(lambda: operations.list()[0].done)
        await operations.delete(begun.id)
        assert kept(tmp_path) == []
    await operations.stop()
    assert [type(error) for _, error in faults] == [ZeroDivisionError] * 3


async def test_a_request_that_is_too_large_to_keep_is_refused(tmp_path: Path) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        with pytest.raises(InvalidArgument, match="must be at most") as refusal:
            await operations.submit("count", "t/a", {"upto": 1, "filter": "x" * 2_000_000})
        assert refusal.value.facts == {"max_bytes": str(runner.MOST_BYTES)}
        assert kept(tmp_path) == []
        assert (await operations.submit("count", "t/a", {"upto": 1})).id


async def test_what_a_caller_began_who_left_is_not_there_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work()
    async with work.operations(tmp_path) as operations:
        keep = operations._keeper.keep

        def slowly(operation: Operation) -> None:
            time.sleep(0.1)
            keep(operation)

        monkeypatch.setattr(operations._keeper, "keep", slowly)
        left = asyncio.create_task(operations.submit("count", "t/a", {"upto": 1}))
        await asyncio.sleep(0.02)
        left.cancel()
        with pytest.raises(asyncio.CancelledError):
            await left
        assert not operations.list()
        await asyncio.sleep(0.2)  # so long a thread may be behind
    assert kept(tmp_path) == []
