from embedsvc.evaluation import speed
from embedsvc.evaluation.embedding import Subject
from embedsvc.evaluation.measures import VALUE
from embedsvc.evaluation.speech import Row


def test_each_stage_has_a_speed_and_together_they_are_slower(
    subject: Subject, rows: tuple[Row, ...]
) -> None:
    found = {each.name: each for each in speed.measure(subject, rows[:6])}
    alone = found["encoder alone, default layer"].values[VALUE]
    together = found["features and encoder, default layer"].values[VALUE]
    assert 0 < together < alone
    assert together < found["features alone"].values[VALUE]
    assert found["features alone"].counts["clips"] == 6
