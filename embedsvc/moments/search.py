"""The moments of many recordings that are most like a query, block by block.

Stretches are laid end to end with walls between them, so that short recordings cost no more than
long ones, and only one block is in memory.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.ndimage import maximum_filter1d

from embedsvc.errors import Cancelled
from embedsvc.moments import alignment
from embedsvc.moments.alignment import NEVER, STEPS
from embedsvc.moments.codes import units
from embedsvc.types import Codes, Floats, MomentMethod

CELLS = 1 << 20
"""Similarities held at once: 4 MB, which stay in the cache."""

PIECE = 1_024
"""Codes compared by one product."""

LEVEL = 0.2
"""Similarity above which a code of the query counts as found; see docs/moments.md."""

SLACK = 16
"""Moments kept beyond those wanted, for those that turn out to be parts of better ones."""


@dataclass(frozen=True)
class Stretch:
    """A run of codes (m, d) of recording number `recording`, from its code `first` on.

    Those of one recording come in order; one that begins where the last ended continues it.
    """

    recording: int
    first: int
    codes: Codes


@dataclass(frozen=True)
class Moment:
    """Codes `start` up to `end` of a recording, like those of the query in `query`."""

    score: float
    recording: int
    start: int
    end: int
    query: tuple[int, int]

    @property
    def order(self) -> tuple[float, int, int]:
        """The best first, then the oldest recording, then the earliest."""
        return -self.score, self.recording, self.start

    def overlaps(self, other: "Moment") -> bool:
        """Whether they share a code."""
        return (
            self.recording == other.recording and self.start < other.end and other.start < self.end
        )


@dataclass(frozen=True)
class Query:
    """Codes (n, d) of length 1 to look for, how, and how many moments at most.

    `once` lets a recording count once, by its best moment.
    """

    codes: Floats
    method: MomentMethod
    count: int
    once: bool = False

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Seen:
    """The best moments, the best first, and how many codes were compared."""

    moments: tuple[Moment, ...]
    codes: int


def find(
    query: Query, stretches: Iterable[Stretch], stopped: Callable[[], bool] = lambda: False
) -> Seen:
    """The best moments, no two of which overlap; raises Cancelled once it is `stopped`."""
    best: list[Moment] = []
    scanned = 0
    for block in _blocks(query, _pieces(stretches)):
        if stopped():
            raise Cancelled("the search was given up")
        scanned += sum(len(piece.codes) for piece in block.fresh)
        best = _kept(query, [*best, *_of_block(query, block)], query.count + SLACK)
    return Seen(tuple(_kept(query, best, query.count)), scanned)


@dataclass(frozen=True)
class _Block:
    """Pieces to be compared at once; those `carried` were in the last block, too.

    If it `goes_on`, the last piece continues in the next block, where its end will be carried.
    """

    carried: Sequence[Stretch]
    fresh: Sequence[Stretch]
    goes_on: bool = False

    @property
    def all(self) -> Sequence[Stretch]:
        return [*self.carried, *self.fresh]


def _pieces(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """The same in pieces that are small beside a block."""
    for stretch in stretches:
        for begin in range(0, len(stretch.codes), PIECE):
            codes = stretch.codes[begin : begin + PIECE]
            yield Stretch(stretch.recording, stretch.first + begin, codes)


def _blocks(query: Query, pieces: Iterable[Stretch]) -> Iterator[_Block]:
    """Blocks of bounded size; one goes on with what a path may span of the recording it cuts."""
    room = max(4 * PIECE, CELLS // len(query))
    carried: list[Stretch] = []
    fresh: list[Stretch] = []
    held = 0
    for piece in pieces:
        if fresh and held + len(piece.codes) > room:
            then = _carried(query, [*carried, *fresh], piece)
            yield _Block(carried, fresh, bool(then))
            carried, fresh, held = then, [], 0
        fresh.append(piece)
        held += len(piece.codes)
    if fresh:
        yield _Block(carried, fresh)


def _carried(query: Query, before: Sequence[Stretch], piece: Stretch) -> list[Stretch]:
    """The last pieces before `piece`: all that a path may come from that ends near its start."""
    kept: list[Stretch] = []
    need = (STEPS + 1) * len(query)
    for last in reversed(before):
        if need <= 0 or not _continues(last, piece):
            break
        kept.insert(0, last)
        need -= len(last.codes)
        piece = last
    return kept


def _continues(before: Stretch, after: Stretch) -> bool:
    return before.recording == after.recording and before.first + len(before.codes) == after.first


def _of_block(query: Query, block: _Block) -> Iterator[Moment]:
    """The moments where a path is better than those that end near."""
    wall = len(query) if query.method is MomentMethod.MAX_SIM else STEPS
    pieces = block.all
    similarity, columns = _similarity(query.codes, pieces, wall)
    scores = scores_of(query.method, similarity)
    # An end so near to the last that what follows matters is left to the next block.
    near = len(query) // 2
    first = columns[len(block.carried)] - near if block.carried else 0
    last = len(scores) - near if block.goes_on else len(scores)
    for end in _peaks(query, scores, first, last):
        place = bisect_right(columns, end) - 1
        piece = pieces[place]
        before = max(0, end + 1 - STEPS * len(query))
        runs, heard = _path(query.method, similarity[:, before : end + 1])
        shift = before + piece.first - columns[place]
        start, stop = heard[0] + shift, heard[1] + shift
        yield Moment(float(scores[end]), piece.recording, start, stop, runs)


def _similarity(query: Floats, pieces: Sequence[Stretch], wall: int) -> tuple[Floats, list[int]]:
    """Similarities (n, m) to the codes of all pieces, and the column where each begins.

    There are walls between pieces that do not follow each other.
    """
    columns = [0]
    for piece, then in pairwise(pieces):
        columns.append(columns[-1] + len(piece.codes) + (0 if _continues(piece, then) else wall))
    width = columns[-1] + len(pieces[-1].codes)
    similarity = np.full((len(query), width), NEVER, np.float32)
    for piece, column in zip(pieces, columns, strict=True):
        similarity[:, column : column + len(piece.codes)] = query @ units(piece.codes).T
    return similarity, columns


def scores_of(method: MomentMethod, similarity: Floats) -> Floats:
    """Scores (m,) of the best that ends at each code, by similarities (n, m)."""
    match method:
        case MomentMethod.ALIGNMENT:
            return alignment.whole(similarity)
        case MomentMethod.LOCAL:
            return alignment.local(similarity, LEVEL)
        case MomentMethod.MAX_SIM:
            return alignment.any_order(similarity)


def _path(method: MomentMethod, similarity: Floats) -> tuple[tuple[int, int], tuple[int, int]]:
    """What of the query, and where, for the best that ends at the last of a few codes."""
    if method is MomentMethod.MAX_SIM:
        count, width = similarity.shape
        near = similarity[:, -count:].argmax(axis=1) + max(0, width - count)
        return (0, count), (int(near.min()), int(near.max()) + 1)
    if method is MomentMethod.ALIGNMENT:
        pairs = alignment.path_of_whole(similarity).pairs
    else:
        pairs = alignment.path_of_part(similarity, LEVEL).pairs
    (query_start, start), (query_end, end) = pairs[0], pairs[-1]
    return (query_start, query_end + 1), (start, end + 1)


def _peaks(query: Query, scores: Floats, first: int, last: int) -> Sequence[int]:
    """Ends from `first` up to `last` that no better one is near; of many, the best."""
    size = len(query) | 1
    near = maximum_filter1d(scores, size, mode="constant", cval=NEVER)
    found = first + np.flatnonzero((scores == near)[first:last] & (scores > NEVER)[first:last])
    order = np.argsort(-scores[found], kind="stable")
    most = len(order) if query.once else 4 * (query.count + SLACK)
    ends: list[int] = found[order[:most]].tolist()
    return ends


def _kept(query: Query, moments: Sequence[Moment], count: int) -> list[Moment]:
    """The best `count` that do not overlap better ones."""
    kept: list[Moment] = []
    of: dict[int, list[Moment]] = {}
    for moment in sorted(moments, key=lambda each: each.order):
        others = of.setdefault(moment.recording, [])
        if query.once and others:
            continue
        if any(moment.overlaps(other) for other in others):
            continue
        others.append(moment)
        kept.append(moment)
        if len(kept) == count:
            break
    return kept
