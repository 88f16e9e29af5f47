import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.probes.examples import Target
from embedsvc.probes.folds import ALWAYS, folds, strata
from embedsvc.types import ProbeTask

EXAMPLES = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 4)), min_size=1, max_size=80)


def split(rows: list[tuple[int, int]], count: int, seed: int = 1) -> tuple[np.ndarray, ...]:
    group, label = np.array(rows).T
    columns = np.eye(5, dtype=np.uint8)[label]
    return group, label, folds(group.astype(np.intp), columns, count, seed)


@given(EXAMPLES, st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=150, deadline=None)
def test_no_group_is_parted_and_no_label_is_left_without_examples(
    rows: list[tuple[int, int]], count: int, seed: int
) -> None:
    group, label, fold = split(rows, count, seed)
    assert set(fold.tolist()) <= set(range(count)) | {ALWAYS}
    for each in np.unique(group):
        assert len(np.unique(fold[group == each])) == 1
    for each in np.unique(fold[fold >= 0]):
        assert set(label[fold != each]) == set(label)


def test_labels_are_spread_evenly() -> None:
    rows = [(g, g % 5) for g in range(100) for _ in range(3)]
    _, label, fold = split(rows, 4)
    for each in range(4):
        counts = np.bincount(label[fold == each], minlength=5)
        assert counts.tolist() == [15] * 5


def test_numbers_are_spread_evenly() -> None:
    values = np.linspace(0, 1, 200)[:, None]
    columns = strata(Target(ProbeTask.REGRESSION, (), values))
    fold = folds(np.arange(200), columns, 4, 1)
    means = [values[fold == each].mean() for each in range(4)]
    assert max(means) - min(means) < 0.05


def test_the_same_seed_splits_alike() -> None:
    rows = [(g, g % 3) for g in range(40)]
    np.testing.assert_array_equal(split(rows, 4)[2], split(rows, 4)[2])
    assert (split(rows, 4)[2] != split(rows, 4, 2)[2]).any()


def test_many_groups_are_split_in_a_second() -> None:
    import time

    label = np.arange(30_000) % 100
    began = time.perf_counter()
    fold = folds(np.arange(30_000), np.eye(100, dtype=np.uint8)[label], 5, 1)
    assert time.perf_counter() - began < 10
    assert np.ptp(np.bincount(fold)) < 300
