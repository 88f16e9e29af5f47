import pytest

from embedsvc.bench import service, speech
from embedsvc.bench.service import SERVICE, Asked
from embedsvc.errors import Unavailable
from embedsvc.testing import serving


def asked(**changes: object) -> Asked:
    usual = {
        "waves": speech.of_lengths([1.0, 2.0]),
        "rounds": 1,
        "turn_seconds": 0.5,
        "seconds": 1.0,
        "callers": 2,
        "deadline": 10.0,
    }
    return Asked(**{**usual, **changes})  # type: ignore[arg-type]


def test_a_server_elsewhere_has_no_engine_beside_it() -> None:
    with serving() as target:
        bench = service.Bench(asked(rates=(4.0,)), lambda _: None)
        bench.reach(target)
        results = bench.run()
    assert set(results.saturated.paces) == {SERVICE}
    assert results.saturated.server_cpu is None
    (loaded,) = results.loaded
    assert (loaded.load, loaded.rate, loaded.memory) == (None, 4.0, ())
    assert loaded.totals.calls >= 1
    assert loaded.client_cpu > 0
    assert loaded.server_cpu is None


def test_loads_are_shares_of_the_capacity_that_was_found() -> None:
    with serving() as target:
        bench = service.Bench(asked(loads=(0.2,)), lambda _: None)
        bench.reach(target)
        results = bench.run()
    (loaded,) = results.loaded
    assert loaded.load == 0.2
    assert loaded.rate == pytest.approx(0.2 * results.capacity / 1.5)


def test_a_server_that_answers_nothing_is_not_measured() -> None:
    bench = service.Bench(asked(), lambda _: None)
    bench.reach("127.0.0.1:9")
    with pytest.raises(Unavailable, match="answers UNAVAILABLE"):
        bench.run()
