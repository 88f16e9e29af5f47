import time

from embedsvc.bench import bare, speech
from embedsvc.types import Precision


def test_the_engine_goes_on_as_long_as_it_is_asked_to() -> None:
    waves = speech.of_lengths([1.0, 2.0, 3.0])
    run = bare.answer(bare.Engine("mini", 1, Precision.FP32), waves)
    for what in (bare.ENCODER, bare.WHOLE):
        started = time.perf_counter()
        pace = run(what, 0.3)
        took = time.perf_counter() - started
        assert took >= 0.3
        # At least one whole batch, of at most 40 s.
        assert 30 / took < pace
