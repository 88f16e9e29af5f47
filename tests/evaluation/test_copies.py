import numpy as np
import pytest

from embedsvc.encoder import Encoder, resolve
from embedsvc.evaluation.copies import OTHERS, Nearness, changes, measure
from embedsvc.evaluation.embedding import Subject
from embedsvc.evaluation.speech import read_table
from embedsvc.samples import clips


def test_cosines_are_summed_up() -> None:
    found = Nearness.of("x", np.array([0.5, 0.9, 0.96, 1.0], np.float32), (0.9, 0.95))
    assert (found.recordings, found.least, found.most) == (4, 0.5, 1.0)
    assert found.median == pytest.approx(0.93)
    assert found.shares == {0.9: 0.75, 0.95: 0.5}


@pytest.mark.parametrize("name", changes())
def test_a_changed_recording_stays_sound(name: str) -> None:
    samples = np.asarray(np.sin(np.arange(8_000) / 9), np.float32)
    changed = changes()[name](samples, np.random.default_rng(0))
    assert changed.dtype == np.float32
    assert np.isfinite(changed).all()
    assert len(changed) >= 4_000
    assert not np.array_equal(changed, samples)


def test_copies_are_nearer_than_other_recordings() -> None:
    index = clips()[0].path.parents[1] / "index.tsv"
    rows = [row for row in read_table(index) if row.metadata["language"] == "spa"][:4]
    heard: list[tuple[int, int]] = []
    subject = Subject(Encoder.load(resolve("mini")), (6,))
    found = list(measure(subject, rows, (0.9,), lambda *told: heard.append(told)))
    assert [each.name for each in found] == [OTHERS, *changes()]
    others, louder, *_ = found
    assert others.most < 0.9
    assert louder.least > 0.99
    assert all(each.median > others.most for each in found[1:5])
    assert heard[-1] == (len(found) * len(rows), len(found) * len(rows))
