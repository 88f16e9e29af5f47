import pytest

from embedsvc.batching.quarantine import CAPACITY, SECONDS, Quarantine
from embedsvc.errors import AudioQuarantined


def test_what_is_in_quarantine_is_refused_until_its_time_is_over() -> None:
    quarantine = Quarantine()
    quarantine.add(b"a", 100)
    quarantine.check(b"b", 100)
    with pytest.raises(AudioQuarantined, match="not tried again for 590 s"):
        quarantine.check(b"a", 110)
    quarantine.check(b"a", 100 + SECONDS)
    assert len(quarantine) == 0


def test_it_holds_the_latest_only() -> None:
    quarantine = Quarantine()
    for number in range(CAPACITY + 1):
        quarantine.add(b"%d" % number, number / 1e6)
    assert len(quarantine) == CAPACITY
    quarantine.check(b"0", 1)
    with pytest.raises(AudioQuarantined):
        quarantine.check(b"1", 1)


def test_a_second_failure_begins_the_time_anew() -> None:
    quarantine = Quarantine()
    quarantine.add(b"a", 0)
    quarantine.add(b"b", 1)
    quarantine.add(b"a", 500)
    quarantine.check(b"b", 602)
    with pytest.raises(AudioQuarantined):
        quarantine.check(b"a", 602)
