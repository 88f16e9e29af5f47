"""Probes in memory, within a bound, used by many at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.errors import DataLoss
from embedsvc.probes.held import Held, Memory
from tests.probes import toys

STAMP = (1, 2)
PETS = Held(STAMP, toys.probe(), None)
SIZE = PETS.bytes
BROKEN = Held(STAMP, None, DataLoss("damaged"))


def place(number: int) -> Path:
    return Path("probes") / f"p{number % 3}" / str(number)


def test_the_size_is_that_of_the_numbers() -> None:
    assert PETS.probe is not None
    assert np.prod(PETS.probe.numbers.references.shape) * 2 < SIZE < 1_000_000
    assert BROKEN.bytes == 0


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60))
def test_those_used_last_are_held(uses: list[tuple[bool, int]]) -> None:
    memory = Memory(3 * SIZE)
    order: list[int] = []
    for puts, number in uses:
        if puts:
            memory.put(place(number), PETS)
        elif memory.get(place(number), STAMP) is None:
            assert number not in order[-3:]
            continue
        order = [each for each in order if each != number] + [number]
        order = order[-3:]
    assert [n for n in range(10) if memory.get(place(n), STAMP)] == sorted(order)


def test_one_that_is_larger_than_the_bound_is_held_alone() -> None:
    memory = Memory(SIZE - 1)
    memory.put(place(0), BROKEN)
    memory.put(place(1), PETS)
    assert memory.get(place(0), STAMP) is None
    assert memory.get(place(1), STAMP) is PETS


def test_another_folder_of_that_name_is_not_what_was_read() -> None:
    memory = Memory()
    memory.put(place(1), PETS)
    assert memory.get(place(1), (1, 3)) is None


def test_versions_that_are_not_kept_are_forgotten() -> None:
    memory = Memory()
    for number in range(9):
        memory.put(place(number), PETS)
    memory.forget(Path("probes/p0"), {place(3)})
    assert [n for n in range(9) if memory.get(place(n), STAMP)] == [1, 2, 3, 4, 5, 7, 8]


def test_many_threads_leave_it_within_its_bound() -> None:
    memory = Memory(2 * SIZE)

    def use(number: int) -> None:
        memory.put(place(number % 7), PETS)
        memory.get(place((number + 1) % 7), STAMP)
        memory.forget(Path("probes/p0"), set())

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(use, range(500)))
    assert sum(memory.get(place(n), STAMP) is not None for n in range(7)) <= 2
