import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.encoder.ctc import Body
from embedsvc.pipeline.takers import Together, by_body, joined, share
from embedsvc.types import Ask, Encoded, Floats, Moments, Window


class Taker:
    """It takes nothing."""

    hears = False
    is_light = True

    def __init__(self, body: Body) -> None:
        self.body = body

    def ask(self, window: Window) -> Ask:
        return Ask((1,))

    def add(self, window: Window, encoded: Encoded, active: object = None, /) -> None:
        pass


def test_takers_of_one_body_share_a_pass() -> None:
    served, german, swahili = Body(), Body("mms", adapter="deu"), Body("mms", adapter="swh")
    takers = [Taker(body) for body in (served, german, served, swahili)]
    found = by_body(takers)
    assert [each.body for each in found] == [served, german, swahili]
    assert isinstance(found[0], Together)
    assert found[1:] == [takers[1], takers[3]]


def test_one_taker_is_left_as_it_is() -> None:
    alone = Taker(Body())
    assert by_body([alone]) == [alone]
    assert by_body([]) == []


LAYERS, LENGTH = (0, 1, 2), 12
RANGES = st.tuples(st.integers(0, LENGTH - 1), st.integers(1, LENGTH)).map(
    lambda pair: (min(pair[0], pair[1] - 1), max(pair[0] + 1, pair[1]))
)
ASKS = st.builds(
    Ask,
    layers=st.lists(st.sampled_from(LAYERS), min_size=1, unique=True).map(tuple),
    keep=st.none() | RANGES,
    runs=st.lists(RANGES, unique=True, max_size=4).map(tuple),
)


def answer(ask: Ask, states: dict[int, Floats]) -> Encoded:
    """What an encoder with these states answers."""
    return Encoded(
        frames={each: states[each][slice(*ask.keep)] for each in ask.layers if ask.keep},
        moments={
            each: tuple(moments(states[each][slice(*run)]) for run in ask.runs)
            for each in ask.layers
        },
    )


def moments(part: Floats) -> Moments:
    mean = part.mean(axis=0)
    return Moments(len(part), mean, ((part - mean) ** 2).sum(axis=0), part.max(axis=0))


@given(st.lists(ASKS, min_size=1, max_size=4))
def test_each_gets_what_it_would_have_got_alone(asks: list[Ask]) -> None:
    random = np.random.default_rng(0)
    states = {each: random.standard_normal((LENGTH, 2)).astype(np.float32) for each in LAYERS}
    asked = joined(asks)
    assert len(set(asked.runs)) == len(asked.runs)
    for own in asks:
        given_all, alone = share(answer(asked, states), asked, own), answer(own, states)
        for layer in own.layers:
            if own.keep:
                np.testing.assert_array_equal(given_all.frames[layer], alone.frames[layer])
            if own.runs:
                for one, other in zip(given_all.moments[layer], alone.moments[layer], strict=True):
                    assert one.count == other.count
                    np.testing.assert_array_equal(one.mean, other.mean)
