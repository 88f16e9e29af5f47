"""Work on whole collections: pairs that say the same, and recordings that are copies."""

from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import dataclass

from embedsvc.errors import InvalidArgument, SpaceMismatch
from embedsvc.filters import Filter
from embedsvc.index import Catalog, Collection
from embedsvc.index.mining import Pairs, copies, groups, translations
from embedsvc.index.reads import Match
from embedsvc.index.whole import Whole
from embedsvc.operations import Progress
from embedsvc.pipeline.threads import Feed, Put
from embedsvc.types import Pair, Place, Space

COPIES = 16
"""Neighbors that are looked at for copies of a segment."""

MOST_NEIGHBORS = 64
PAGE = 500
"""Pairs whose recordings are looked up at once."""

SHOWN_PAIRS = 100
"""Of one group."""


@dataclass(frozen=True)
class Side:
    """One side of a mining: a space of a collection, or what a filter allows of it."""

    collection: str
    condition: Filter | None = None
    space: str = ""


@dataclass(frozen=True)
class Group:
    """Recordings that are copies, by id in order, and the pairs that say so, the best first."""

    ids: tuple[str, ...]
    pairs: tuple[Pair, ...]


def mine(
    catalog: Catalog, left: Side, right: Side, k: int, least: float
) -> AsyncGenerator[Progress | Pair, None]:
    """Pairs of segments that say the same, the best first, down to a margin score of `least`.

    Both sides go through the transform of the left space. A segment that is on both sides
    counts on the left.
    """
    if not 1 <= k <= MOST_NEIGHBORS:
        raise InvalidArgument(
            f"`neighbors` must be 1 to {MOST_NEIGHBORS}, but is {k}", field="neighbors"
        )

    def run(put: Put[Progress | Pair]) -> Iterator[Pair]:
        one, other = catalog.get(left.collection), catalog.get(right.collection)
        _check_spaces(_space(one, left, "left"), _space(other, right, "right"))
        transform = one.transform(left.space)
        here = one.whole(transform, left.condition, left.space)
        there = other.whole(transform, right.condition, right.space)
        if one is other:
            there = there.without(here.sids)
        total = len(here) + len(there)
        found = translations(
            here.vectors, there.vectors, k, lambda done: put(Progress(done, total, "comparing"))
        )
        good = int((found.scores >= least).sum())
        for first in range(0, good, PAGE):
            part = slice(first, min(first + PAGE, good))
            lefts, rights = here.sids[found.left[part]], there.sids[found.right[part]]
            known = one.matches(lefts.tolist()), other.matches(rights.tolist())
            figures = zip(lefts, rights, found.scores[part], found.cosines[part], strict=True)
            for sid, facing, score, cosine in figures:
                places = known[0].get(sid), known[1].get(facing)
                if places[0] is not None and places[1] is not None:  # not deleted meanwhile
                    yield Pair(_place(places[0]), _place(places[1]), float(score), float(cosine))

    return Feed(run).items()


def duplicates(
    catalog: Catalog, side: Side, least: float
) -> AsyncGenerator[Progress | Group, None]:
    """Groups of recordings with nearly the same sound, by cosines of at least `least`.

    Vectors are compared as they are stored: a transform is made to bring together what says the
    same, which is more than copies.
    """
    if not 0 < least <= 1:
        raise InvalidArgument(
            f"`min_cosine` must be more than 0 and at most 1, but is {least:g}", field="min_cosine"
        )

    def run(put: Put[Progress | Group]) -> Iterator[Group]:
        collection = catalog.get(side.collection)
        here = collection.whole(None, side.condition, side.space)
        found = copies(
            here.vectors,
            here.rids,
            least,
            COPIES,
            lambda done: put(Progress(done, len(here), "comparing")),
        )
        for numbers in groups(found, here.rids):
            group = _group(collection, here, found, numbers)
            if group is not None:
                yield group

    return Feed(run).items()


def _space(collection: Collection, side: Side, field: str) -> Space:
    try:
        return collection.space(side.space)
    except InvalidArgument as error:
        raise error.at(field) from error


def _check_spaces(left: Space, right: Space) -> None:
    if left.fingerprint != right.fingerprint:
        raise SpaceMismatch(
            f"`right.collection` must be of the space {left.fingerprint} of the left, "
            f"but is of {right.fingerprint}",
            field="right.collection",
            left_fingerprint=left.fingerprint,
            right_fingerprint=right.fingerprint,
        )


def _group(
    collection: Collection, here: Whole, found: Pairs, numbers: Sequence[int]
) -> Group | None:
    """A group as it is told; None when it was deleted meanwhile."""
    left, right = (here.sids[side[numbers]].tolist() for side in (found.left, found.right))
    known = collection.matches([*left, *right])
    pairs = tuple(
        Pair(_place(known[one]), _place(known[other]), 0.0, cosine)
        for one, other, cosine in zip(left, right, found.cosines[numbers].tolist(), strict=True)
        if one in known and other in known
    )
    ids = sorted({side.id for pair in pairs for side in (pair.left, pair.right)})
    return Group(tuple(ids), pairs[:SHOWN_PAIRS]) if pairs else None


def _place(match: Match) -> Place:
    return Place(match.id, match.span, match.metadata)
