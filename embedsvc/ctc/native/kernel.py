"""The search in C as a function of values.

It stops wherever words are over that a language model was not yet asked for, in the hands of
Python. Between that it runs without the interpreter, so that other threads do too.
"""

import ctypes
from functools import partial

import numpy as np
from numpy.typing import NDArray

from embedsvc.ctc.beams import Ended, Problem
from embedsvc.ctc.hot_words import Automaton
from embedsvc.ctc.native import loader
from embedsvc.ctc.reading import Reading
from embedsvc.ctc.runs import Labels

Wholes = NDArray[np.int64]


def followed(problem: Problem) -> Ended:
    """What is left of the beam behind the last frame; MemoryError without the memory for it."""
    search = _Search(problem)
    try:
        while asked := search.run():
            search.answer(asked)
        return search.ended()
    finally:
        search.free()


class _Search:
    """One search; it holds on to the arrays that are read."""

    def __init__(self, problem: Problem) -> None:
        loaded = loader.library()
        assert loaded is not None, "callers ask first"
        self._functions, self._problem = loaded, problem
        self._kept: list[object] = []
        frames, labels = problem.frames.shape
        given = loader.Problem(
            self._address(problem.frames, np.float64),
            self._address(problem.begun, np.int64),
            self._address(problem.counts, np.int64),
            self._lexicon(problem.reading, labels) if problem.reading else None,
            self._automaton(problem.hot) if problem.hot else None,
            None if problem.ahead is None else self._address(problem.ahead, np.float32),
            *(frames, labels, problem.blank, problem.width, problem.summed),
        )
        self._room = np.empty(frames, np.int64)
        self._handle = loaded.search_new(ctypes.byref(given))
        if not self._handle:
            raise MemoryError

    def run(self) -> int:
        """How many words must be answered before it goes on; 0 at the end."""
        asked: int = self._functions.search_run(self._handle)
        if asked < 0:
            raise MemoryError
        return asked

    def answer(self, count: int) -> None:
        """Score the words that are asked for."""
        reading = self._problem.reading
        assert reading is not None, "or it would not ask"
        asked = np.empty((count, 3), np.int64)
        self._functions.search_asked(self._handle, asked.ctypes.data)
        overs = [
            reading.over(node, context, partial(self._columns, prefix, reading.space))
            for node, context, prefix in asked.tolist()
        ]
        scores = np.array([over.score if over else -np.inf for over in overs])
        contexts = np.array([over.context if over else 0 for over in overs], np.int64)
        self._functions.search_answer(self._handle, scores.ctypes.data, contexts.ctypes.data)

    def ended(self) -> Ended:
        """What is left of the beam."""
        scores = np.empty((self._problem.width, 2))
        places = np.empty((self._problem.width, 4), np.int64)
        count = self._functions.search_last(self._handle, scores.ctypes.data, places.ctypes.data)
        total, bonus = scores[:count].T
        prefix, state, node, context = places[:count].T
        prefixes = tuple(self._columns(each) for each in prefix.tolist())
        return Ended(prefixes, total, bonus, state, node, context)

    def free(self) -> None:
        """Give the memory back."""
        self._functions.search_free(self._handle)

    def _columns(self, prefix: int, behind: int | None = None) -> Labels:
        """The columns of a prefix, or those behind the last that is a label of its own."""
        stop = -1 if behind is None else behind
        at = self._room.ctypes.data
        count = self._functions.search_columns(self._handle, prefix, stop, at)
        return tuple(self._room[:count][::-1].tolist())

    def _lexicon(self, reading: Reading, labels: int) -> object:
        lexicon = reading.lexicon
        made = loader.Lexicon(
            self._address(lexicon.steps, np.int64),
            self._address(lexicon.nodes, np.int64),
            self._address(lexicon.ends, np.int64),
            self._address(lexicon.spelled, np.int64),
            self._address(reading.closing(np.arange(2 * labels)), np.uint8),
            *(len(lexicon.steps), len(lexicon.ends), lexicon.spelled.shape[1], lexicon.symbols),
            *(reading.sounding, reading.closed, reading.knows_hot, reading.impossible),
        )
        self._kept.append(made)
        return ctypes.pointer(made)

    def _automaton(self, hot: Automaton) -> object:
        made = loader.Automaton(
            self._address(hot.after, np.int32),
            self._address(hot.gain, np.float64),
            self._address(hot.hope, np.float64),
            hot.first,
        )
        self._kept.append(made)
        return ctypes.pointer(made)

    def _address(self, array: NDArray[np.generic], kind: type[np.generic]) -> int:
        held = np.ascontiguousarray(array, kind)
        self._kept.append(held)
        return held.ctypes.data
