"""What keeps a space quick, mostly in the background: its base, columns and accelerator."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

import apsw
import numpy as np

from embedsvc.errors import DiskFull, TensorShape
from embedsvc.files import disk_errors
from embedsvc.index import acceleration, columns, fitted
from embedsvc.index.base import Base, BaseFile, build
from embedsvc.index.fitted import digest
from embedsvc.index.parts import Part
from embedsvc.index.recovery import Rows
from embedsvc.index.store import Store
from embedsvc.index.view import Refit, SpaceView
from embedsvc.transforms import Transform
from embedsvc.types import Floats, TransformRecipe

T = TypeVar("T")


class Upkeep:
    """One space of a collection: changes no recording, only how its segments are found.

    Each space has its own base, transform and accelerator, so that work on one leaves the others.
    """

    def __init__(self, store: Store, part: Part, file: BaseFile) -> None:
        self.recent: deque[Floats] = deque(maxlen=acceleration.RECENT)
        self.compaction_error: Exception | None = None
        self.acceleration_error: Exception | None = None
        self._store = store
        self._part = part
        self._file = file
        self._key = f"{store.identity.uid}/{part.number}"
        self._compacting = threading.Lock()
        self._accelerating = threading.Lock()
        file.remove_others()

    @property
    def view(self) -> SpaceView:
        """The newest of its space."""
        return self._store.view.spaces[self._part.number]

    def compact(self) -> None:
        """Rebuild the base from the rows, which also drops deleted vectors from memory and disk.

        Of those in an accelerator, an approximation stays until it is begun anew. Searches and
        writes go on meanwhile. Raises DiskFull or DataLoss, after which all is as it was before.
        """
        with self._compacting:
            self._store.check_serving()
            view = self._store.view
            mine = view.spaces[self._part.number]
            if self._saved and not len(mine.tail) and not view.dead(self._part):
                return
            made = self._base(mine.transform, mine.upto)
            base = made.along(made.columns, mine.base.tuned)
            with disk_errors():
                self._file.save(base, view.sequence, digest(mine.transform))
            self._publish(lambda current: current.rebased(base))
            self._saved = True

    def accelerate(self) -> None:
        """Give the base an accelerator, or a newer one, if it is due.

        Takes a minute for 100,000 segments; everything else goes on meanwhile, compaction too.
        """
        with self._accelerating:
            self._store.check_serving()
            if not self._saved:
                self.compact()
            before = self.view
            # A search that began before another transform came may have left a query of then.
            recent = [query for query in self.recent if len(query) == before.base.dim]
            if not acceleration.due(before.base, self._store.tuning, len(recent)):
                return
            made = acceleration.tuned(
                before.base, recent, self._store.tuning, self._store.check_serving
            )
            with self._compacting:
                self._store.check_serving()
                now = self.view
                if now.fitted is not before.fitted:
                    return  # its vectors are of another space than the graph: it is due again
                placed = now.base.along(now.base.columns, made)
                with disk_errors():
                    self._file.save_accelerator(made)
                self._publish(lambda view: view.on(placed))

    def prepare(self) -> None:
        """Read the metadata of the base into memory, if that is due."""
        with self._compacting:
            self._store.check_serving()
            base = self.view.base
            if not self._lacks_columns(base):
                return
            with self._store.connection() as connection:
                placed = base.along(self._columns(connection, base), base.tuned)
            self._publish(lambda view: view.on(placed))

    def adopt(self, transform: Transform | None, recipe: TransformRecipe, segments: int) -> int:
        """Search through `transform` from now on, or through none; the number of this write.

        `segments` says how many it was fitted on. Searches and writes go on meanwhile. Raises
        TensorShape for one of another space, and DiskFull or DataLoss: then nothing has changed.
        A damaged transform can be removed.
        """
        if transform is not None and transform.takes != self._part.dim:
            raise TensorShape(
                f"`transform` must take {self._part.dim} dimensions, but takes {transform.takes}",
                field="transform",
            )
        with self._compacting:
            if transform is None:
                self._store.check_open()
            else:
                self._store.check_serving()
            upto = self.view.upto
            bare = self._base(transform, upto)
            with self._store.connection() as connection:
                base = bare.along(self._columns(connection, bare), None)

            def write(connection: apsw.Connection, sequence: int) -> tuple[int, Refit]:
                now = self._store.tuning.clock()
                made = fitted.write(connection, self._part, transform, recipe, segments, now)
                tail = Rows(connection, self._part, transform).tail(upto)
                return sequence, Refit(self._part, base, tail, made)

            # From here on the base on disk is of the transform before, and not to be trusted.
            self._saved = False
            sequence = self._store.writer.submit(write)
            self.recent.clear()  # they are of the transform before
            with suppress(DiskFull), disk_errors():
                self._file.save(base, sequence, digest(transform))
                self._saved = True
        self._store.look_again()
        self.request_due()
        return sequence

    def request_due(self) -> None:
        """Have done in the background what is due."""
        if self._store.damage is not None:
            return
        view, tuning = self._store.view, self._store.tuning
        mine, dead = view.spaces[self._part.number], view.dead(self._part)
        too_dead = dead > max(tuning.dead_floor, tuning.dead_share * len(mine))
        if not self._saved or len(mine.tail) > tuning.tail_limit or too_dead:
            self._store.around.compactor.request(self._key, self._try_compact)
        if self._lacks_columns(mine.base):
            self._store.around.compactor.request(f"{self._key}/columns", self._try_prepare)
        self.request_accelerator()

    def request_accelerator(self) -> None:
        """Have an accelerator made in the background, if one is due."""
        if acceleration.due(self.view.base, self._store.tuning, len(self.recent)):
            self._store.around.accelerator.request(self._key, self._try_accelerate)

    def end(self) -> None:
        """Return when no work is in hand that needs the rows; the store refuses any other."""
        self._store.around.compactor.forget(self._key)
        self._store.around.compactor.forget(f"{self._key}/columns")
        self._store.around.accelerator.forget(self._key)
        with self._compacting:
            pass

    @property
    def _saved(self) -> bool:
        return self._store.saved[self._part.number]

    @_saved.setter
    def _saved(self, saved: bool) -> None:
        self._store.saved[self._part.number] = saved

    def _publish(self, change: Callable[[SpaceView], SpaceView]) -> None:
        number = self._part.number
        self._store.writer.publish(lambda view: view.having(change(view.spaces[number])))

    def _base(self, transform: Transform | None, upto: int) -> Base:
        """All segments up to `upto` through `transform`; ends early when the collection closes."""
        with self._store.connection() as connection:
            rows = Rows(connection, self._part, transform)
            bare = build(self._while_open(rows.batches(0, upto)), rows.gives, upto)
            return bare.along(self._columns(connection, bare), None)

    def _while_open(self, batches: Iterator[T]) -> Iterator[T]:
        for batch in batches:
            self._store.check_open()
            yield batch

    def _columns(self, connection: apsw.Connection, base: Base) -> columns.Columns | None:
        """Metadata of the base, shared with that of another space if it has the same segments."""
        if not self._lacks_columns(base):
            return None
        for other in self._store.view.spaces:
            known = other.base.columns
            if known is not None and np.array_equal(other.base.sids, base.sids):
                return known
        return columns.read(connection, base.sids)

    def _lacks_columns(self, base: Base) -> bool:
        return base.columns is None and len(base) >= self._store.tuning.columns_from

    def _try_compact(self) -> bool:
        self.compaction_error = _error_of(self.compact)
        if self.compaction_error is None:
            self.request_due()
        return self.compaction_error is None or self._store.closing

    def _try_prepare(self) -> bool:
        return _error_of(self.prepare) is None or self._store.closing

    def _try_accelerate(self) -> bool:
        self.acceleration_error = _error_of(self.accelerate)
        if self.acceleration_error is None:
            self.request_due()
        return self.acceleration_error is None or self._store.closing


def _error_of(work: Callable[[], None]) -> Exception | None:
    """What `work` raises: it is called by threads with nobody to tell."""
    try:
        work()
    except Exception as error:  # noqa: BLE001  # see above
        return error
    return None
