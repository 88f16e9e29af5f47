from pathlib import Path

import pytest

from embedsvc.bench import bare, service, speech
from embedsvc.bench.service import SERVICE, Asked, Results
from embedsvc.testing import serving
from embedsvc.types import Precision


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


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    bench = service.Bench(asked(loads=(0.2,)), lambda _: None)
    bench.start(bare.Engine("mini", 1, Precision.FP32), tmp_path_factory.mktemp("scratch"))
    return bench.run()


def test_the_service_is_measured_beside_its_engine(results: Results) -> None:
    saturated = results.saturated
    assert set(saturated.paces) == {bare.ENCODER, bare.WHOLE, SERVICE}
    for part, share in saturated.shares.items():
        expected = saturated.paces[SERVICE].median / saturated.paces[part].median
        assert share.median == pytest.approx(expected)
    assert saturated.codes.keys() == {"OK"}
    assert saturated.client_cpu > 0
    assert saturated.server_cpu is not None
    assert saturated.server_cpu > 0


def test_a_load_is_a_share_of_the_capacity_that_was_found(results: Results) -> None:
    (loaded,) = results.loaded
    assert loaded.rate == pytest.approx(0.2 * results.capacity / 1.5)
    assert loaded.totals.codes.keys() == {"OK"}
    assert loaded.totals.latency["p50"] > 0


def test_the_memory_of_the_server_is_watched(results: Results) -> None:
    (loaded,) = results.loaded
    times, sizes = zip(*loaded.memory, strict=True)
    assert times[-1] >= loaded.seconds
    assert min(sizes) > 50 * 2**20


def test_a_server_elsewhere_has_no_engine_beside_it(tmp_path: Path) -> None:
    with serving() as target:
        bench = service.Bench(asked(rates=(4.0,)), lambda _: None)
        bench.reach(target)
        results = bench.run()
    assert set(results.saturated.paces) == {SERVICE}
    assert results.saturated.server_cpu is None
    (loaded,) = results.loaded
    assert (loaded.load, loaded.rate, loaded.memory) == (None, 4.0, ())
    assert loaded.totals.calls >= 1
