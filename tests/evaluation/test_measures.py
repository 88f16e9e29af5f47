import pytest

from embedsvc.evaluation.measures import VALUE, Measure

VALUES = {"layer 0": 0.2, "layer 1": 0.5, "layer 2": 0.5, "default": 0.4, "mfcc": 0.1}


def test_the_best_layer_is_the_lowest_of_equals_and_no_baseline() -> None:
    measure = Measure("task", "name", "R@1", VALUES | {"mfcc": 0.9})
    assert measure.best == 1
    assert Measure("task", "name", "PER", VALUES, falling=True).best == 0
    assert Measure("task", "name", "PER", {VALUE: 0.3}).best is None


@pytest.mark.parametrize(
    ("values", "chosen", "headline"),
    [
        (VALUES, "layer 0", ("layer 0", 0.2)),
        (VALUES, "", ("default", 0.4)),
        ({VALUE: 0.3}, "", (VALUE, 0.3)),
    ],
)
def test_the_headline_is_never_the_best_on_the_test(
    values: dict[str, float], chosen: str, headline: tuple[str, float]
) -> None:
    assert Measure("task", "name", "R@1", values, chosen=chosen).headline == headline
