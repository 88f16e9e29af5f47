from embedsvc.encoder.ctc import Body
from embedsvc.pipeline.takers import Together, by_body
from embedsvc.types import Ask, Encoded, Window


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
