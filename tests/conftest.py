"""Long files come first, so that neither process is left with one when the other has ended."""

import pytest

LONG = {
    "test_notebooks.py",
    "test_readme.py",
    "test_bench.py",
    "test_live.py",
    "test_training_ends.py",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.name not in LONG)
