"""What keeps a collection quick, mostly in the background: base, columns and accelerator."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import apsw

from embedsvc.errors import DataLoss, EmbedsvcError
from embedsvc.files import Ballast, disk_errors
from embedsvc.index import acceleration, columns
from embedsvc.index.base import Base, BaseFile, build
from embedsvc.index.compactor import Compactor
from embedsvc.index.database import Readers, storage_errors
from embedsvc.index.fitted import digest
from embedsvc.index.identity import Identity
from embedsvc.index.outcomes import Tuning
from embedsvc.index.recovery import Rows
from embedsvc.index.writer import Writer
from embedsvc.transforms import Transform
from embedsvc.types import Floats

T = TypeVar("T")


@dataclass(frozen=True)
class Surroundings:
    """What the collections of one data directory share."""

    tuning: Tuning
    compactor: Compactor
    ballast: Ballast
    accelerator: Compactor


class Upkeep:
    """The part of a collection that changes no row, only how the rows are found."""

    _identity: Identity
    _around: Surroundings
    _tuning: Tuning
    _base_file: BaseFile
    _readers: Readers
    _writer: Writer
    _compacting: threading.Lock
    _accelerating: threading.Lock
    _recent: deque[Floats]
    _ending: EmbedsvcError | None
    _damage: DataLoss | None
    _saved: bool
    last_compaction_error: Exception | None
    last_acceleration_error: Exception | None

    def compact(self) -> None:
        """Rebuild the base from the rows, which also drops deleted vectors from memory and disk.

        Of those in an accelerator, an approximation stays until it is begun anew. Searches and
        writes go on meanwhile. Raises DiskFull or DataLoss, after which all is as it was before.
        """
        with self._compacting:
            self._check_serving()
            view = self._writer.view
            if self._saved and not len(view.tail) and not view.dead:
                return
            made = self._base(view.transform, view.upto)
            base = made.along(made.columns, view.base.tuned)
            with disk_errors():
                self._base_file.save(base, view.sequence, digest(view.transform))
            self._writer.publish(lambda current: current.rebased(base))
            self._saved = True

    def accelerate(self) -> None:
        """Give the base an accelerator, or a newer one, if it is due.

        Takes a minute for 100,000 segments; everything else goes on meanwhile, compaction too.
        """
        with self._accelerating:
            self._check_serving()
            if not self._saved:
                self.compact()
            before = self._writer.view
            # A search that began before another transform came may have left a query of then.
            recent = [query for query in self._recent if len(query) == before.base.dim]
            if not acceleration.due(before.base, self._tuning, len(recent)):
                return
            made = acceleration.tuned(before.base, recent, self._tuning, self._check_serving)
            with self._compacting:
                self._check_serving()
                view = self._writer.view
                if view.fitted is not before.fitted:
                    return  # its vectors are of another space than the graph: it is due again
                placed = view.base.along(view.base.columns, made)
                with disk_errors():
                    self._base_file.save_accelerator(made)
                self._writer.publish(lambda view: view.on(placed))

    def prepare(self) -> None:
        """Read the metadata of the base into memory, if that is due."""
        with self._compacting:
            self._check_serving()
            base = self._writer.view.base
            if not self._lacks_columns(base):
                return
            with storage_errors(), self._readers.lend() as connection:
                placed = base.along(self._columns(connection, base), base.tuned)
            self._writer.publish(lambda view: view.on(placed))

    def _check_open(self) -> None:
        if self._ending is not None:
            raise self._ending.with_traceback(None)

    def _check_serving(self) -> None:
        self._check_open()
        if self._damage is not None:
            raise self._damage.with_traceback(None)

    def _base(self, transform: Transform | None, upto: int) -> Base:
        """All segments up to `upto` through `transform`; ends early when the collection closes."""
        with storage_errors(), self._readers.lend() as connection:
            rows = Rows(connection, self._identity.space.dim, transform)
            bare = build(self._while_open(rows.batches(0, upto)), rows.gives, upto)
            return bare.along(self._columns(connection, bare), None)

    def _while_open(self, batches: Iterator[T]) -> Iterator[T]:
        for batch in batches:
            self._check_open()
            yield batch

    def _columns(self, connection: apsw.Connection, base: Base) -> columns.Columns | None:
        return columns.read(connection, base.sids) if self._lacks_columns(base) else None

    def _lacks_columns(self, base: Base) -> bool:
        return base.columns is None and len(base) >= self._tuning.columns_from

    def _compact_if_due(self) -> None:
        if self._damage is not None:
            return
        view, tuning, uid = self._writer.view, self._tuning, self._identity.uid
        held = len(view.base) + len(view.tail)
        too_dead = view.dead > max(tuning.dead_floor, tuning.dead_share * held)
        if not self._saved or len(view.tail) > tuning.tail_limit or too_dead:
            self._around.compactor.request(uid, self._try_compact)
        if self._lacks_columns(view.base):
            self._around.compactor.request(f"{uid}:columns", self._try_prepare)
        self._accelerate_if_due()

    def _accelerate_if_due(self) -> None:
        if acceleration.due(self._writer.view.base, self._tuning, len(self._recent)):
            self._around.accelerator.request(self._identity.uid, self._try_accelerate)

    def _forget_work(self) -> None:
        self._around.compactor.forget(self._identity.uid)
        self._around.compactor.forget(f"{self._identity.uid}:columns")
        self._around.accelerator.forget(self._identity.uid)

    def _try_compact(self) -> bool:
        self.last_compaction_error = _error_of(self.compact)
        if self.last_compaction_error is None:
            self._compact_if_due()
        return self.last_compaction_error is None or self._ending is not None

    def _try_prepare(self) -> bool:
        return _error_of(self.prepare) is None or self._ending is not None

    def _try_accelerate(self) -> bool:
        self.last_acceleration_error = _error_of(self.accelerate)
        if self.last_acceleration_error is None:
            self._compact_if_due()
        return self.last_acceleration_error is None or self._ending is not None


def _error_of(work: Callable[[], None]) -> Exception | None:
    """What `work` raises: it is called by threads with nobody to tell."""
    try:
        work()
    except Exception as error:  # noqa: BLE001  # see above
        return error
    return None
