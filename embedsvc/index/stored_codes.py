"""What a collection gives of the codes it keeps: of one recording, near a vector, or all."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from embedsvc.errors import RecordingNotFound
from embedsvc.filters import Filter
from embedsvc.index import codes, reads
from embedsvc.index.codes import Candidates, Coded, Owner
from embedsvc.index.prepared import unit
from embedsvc.index.search import Search
from embedsvc.index.store import Store
from embedsvc.types import Codes, Floats, Found

MAX_CODES = 2**62


@dataclass(frozen=True)
class StoredCodes:
    """The codes of a collection."""

    store: Store

    @property
    def recipe(self) -> bytes | None:
        """How they are made; None when it keeps none."""
        return self.store.recipe

    def of(self, name: str) -> Codes:
        """The codes (N, d) of a recording; raises RecordingNotFound when it has none."""
        with self.store.reading() as (_, connection):
            rids = reads.rids_of(connection, [name])
            found = codes.read(connection, rids[0], 0, MAX_CODES) if rids else None
        if found is None:
            raise RecordingNotFound(
                f"`id` must exist and have codes, but {name!r} does not", field="id", name=name
            )
        return found

    def near(self, query: Floats, wanted: Candidates) -> "tuple[Found, Coding]":
        """The segments nearest to `query` (D,), and the codes of where they are."""
        part = self.store.identity.part(wanted.space)
        given = unit(query, part.dim, "query")
        with self.store.reading() as (view, connection):
            asked = view.spaces[part.number].direction(given)
            search = Search(part, asked, wanted.k, wanted.condition, wanted.exclude_id)
            found, _ = search.run(view, connection, self.store.tuning.gather_limit)
            runs = codes.around(connection, found.hits, wanted.reach)
            known = codes.owners(connection, {run.rid for run in runs})
        return found, Coding(view.sequence, runs, lambda rids: {rid: known[rid] for rid in rids})

    @contextmanager
    def each(
        self, condition: Filter | None = None, exclude_id: str | None = None
    ) -> "Iterator[Coding]":
        """All codes of recordings that meet `condition`, but those of `exclude_id`.

        They come a chunk at a time, in the order of recordings and of time, within the block.
        """
        with self.store.reading() as (view, connection):
            yield Coding(
                view.sequence,
                codes.each(connection, condition, exclude_id),
                partial(codes.owners, connection),
            )


@dataclass(frozen=True)
class Coding:
    """Codes of a collection after write number `sequence`; `owners` tells whose keys are whose."""

    sequence: int
    runs: Iterable[Coded]
    owners: Callable[[Iterable[int]], Mapping[int, Owner]]
