from pathlib import Path

import pytest

from tests.index.kill_loop import run


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    tally = run(tmp_path, rounds=3, seconds=0.8)
    assert tally.acknowledged > 20
    assert (tally.lost, tally.ghosts, tally.unfound) == ([], [], [])
    assert (tally.miscoded, tally.mistold) == ([], [])
    assert tally.missed <= 0.05 * tally.asked


@pytest.mark.slow
def test_nor_in_twelve_rounds(tmp_path: Path) -> None:
    tally = run(tmp_path, rounds=12, seconds=1.5)
    assert tally.rebuilt
    assert (tally.lost, tally.ghosts, tally.unfound) == ([], [], [])
    assert (tally.miscoded, tally.mistold) == ([], [])
    assert tally.accelerated
    assert tally.missed <= 0.05 * tally.asked
