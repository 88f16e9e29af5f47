import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from embedsvc.training.shards import ATTEMPTS, Job, Task, make_all


def quiet(name: str, done: int, total: int) -> None:
    assert done <= total


def count_up(job: Job, most: int) -> None:
    counts: Counter[str] = Counter()
    for number in range(most):
        if not job.is_left_out(number):
            counts["clips"] += 1
    job.complete(counts)


def die_at_two(job: Job, most: int) -> None:
    for number in range(most):
        if not job.is_left_out(number) and number == 2:
            os.kill(os.getpid(), signal.SIGKILL)
    count_up(job, most)


def fail(job: Job, reason: str) -> None:
    raise ValueError(reason)


def test_shards_come_in_the_order_of_their_tasks(tmp_path: Path) -> None:
    tasks = [Task(f"shard-{number}", count_up, number) for number in (3, 1)]
    made = make_all(tasks, tmp_path, 2, quiet)
    assert [(each.name, each.counts["clips"]) for each in made] == [("shard-3", 3), ("shard-1", 1)]


def test_an_utterance_of_which_a_process_dies_is_left_out(tmp_path: Path) -> None:
    (made,) = make_all([Task("shard", die_at_two, 5)], tmp_path, 1, quiet)
    assert made.left_out == 1
    assert made.counts["clips"] == 4


def test_a_task_that_fails_is_told_and_others_are_made(tmp_path: Path) -> None:
    tasks = [Task("bad", fail, "no such voice"), Task("good", count_up, 2)]
    bad, good = make_all(tasks, tmp_path, 1, quiet)
    assert bad.path is None
    assert bad.fault == "exit status 1: ValueError: no such voice"
    assert good.counts["clips"] == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["good"]


def test_a_run_goes_on_with_the_shards_it_has(tmp_path: Path) -> None:
    (made,) = make_all([Task("shard", count_up, 2)], tmp_path, 1, quiet)
    assert made.path is not None
    before = made.path.stat().st_ino
    (tmp_path / "other.1-0.partial").mkdir()
    (again,) = make_all([Task("shard", count_up, 2)], tmp_path, 1, quiet)
    assert again.path is not None
    assert again.path.stat().st_ino == before
    assert not (tmp_path / "other.1-0.partial").exists()


def test_a_shard_of_other_arguments_is_made_anew(tmp_path: Path) -> None:
    make_all([Task("shard", count_up, 2)], tmp_path, 1, quiet)
    (made,) = make_all([Task("shard", count_up, 3)], tmp_path, 1, quiet)
    assert made.counts["clips"] == 3


def test_a_caller_that_stops_is_obeyed(tmp_path: Path) -> None:
    def stop(name: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    tasks = [Task(f"shard-{number}", count_up, number) for number in range(6)]
    with pytest.raises(KeyboardInterrupt):
        make_all(tasks, tmp_path, 1, stop)
    assert len(list(tmp_path.iterdir())) < len(tasks)
    assert ATTEMPTS > 2
