"""What the spaces of a collection share: its rows, and the view of them that is searched."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import apsw

from embedsvc.errors import DataLoss, EmbedsvcError
from embedsvc.files import Ballast
from embedsvc.index import codes, reads, texts
from embedsvc.index.base import BaseFile
from embedsvc.index.compactor import Compactor
from embedsvc.index.database import ROWS_SCHEMA, Readers, open_writer, storage_errors
from embedsvc.index.formats import stamp
from embedsvc.index.identity import Identity
from embedsvc.index.outcomes import Tuning
from embedsvc.index.recovery import recover
from embedsvc.index.view import View
from embedsvc.index.writer import Writer

TRIES = 3
"""Attempts to meet the rows and the view in one state before writes are held off for it."""


@dataclass(frozen=True)
class Surroundings:
    """What the collections of one data directory share."""

    tuning: Tuning
    compactor: Compactor
    ballast: Ballast
    accelerator: Compactor


class Store:
    """The rows of a collection, which are the truth, and a view of them in memory.

    `saved` says of each space whether the base in its file is the one that is searched, `recipe`
    how codes of frames are made, if they are kept, and `texts` which texts are.
    """

    def __init__(
        self,
        directory: Path,
        identity: Identity,
        around: Surroundings,
        files: Sequence[BaseFile],
    ) -> None:
        self.identity = identity
        self.around = around
        self.tuning = around.tuning
        self.saved: list[bool]
        self.damage: DataLoss | None
        self._files = files
        self._ending: EmbedsvcError | None = None
        self.recipe: bytes | None
        with storage_errors():
            connection = open_writer(directory / "rows.db", self.tuning.vfs, ROWS_SCHEMA)
            try:
                stamp(connection, identity.name)
                self.recipe = codes.recipe(connection)
                self.texts = texts.recipe(connection)
                view = self._recovered(connection)
            except BaseException:
                connection.close()
                raise
        self.readers = Readers(directory / "rows.db", self.tuning.vfs)
        self.writer = Writer(connection, view)

    @property
    def view(self) -> View:
        """The newest."""
        return self.writer.view

    @property
    def width(self) -> int:
        """Numbers in a row: the dimensions of all spaces."""
        return self.identity.parts[0].width

    @property
    def closing(self) -> bool:
        """Whether all further calls are refused."""
        return self._ending is not None

    def check_open(self) -> None:
        """Raise what it was closed with, if it was."""
        if self._ending is not None:
            raise self._ending.with_traceback(None)

    def check_serving(self) -> None:
        """The same, and for damaged rows DataLoss."""
        self.check_open()
        if self.damage is not None:
            raise self.damage.with_traceback(None)

    @contextmanager
    def connection(self) -> Iterator[apsw.Connection]:
        """A connection to read with."""
        with storage_errors(), self.readers.lend() as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[tuple[View, apsw.Connection]]:
        """A view and a connection that show the same state until the end of the block."""
        self.check_serving()
        with self.connection() as connection:
            yield self._meet(connection), connection

    def look_again(self) -> None:
        """See whether what was damaged is gone."""
        if self.damage is not None:
            self.writer.publish(self._again)

    def refuse(self, ending: EmbedsvcError) -> None:
        """Refuse all further calls with `ending`."""
        self._ending = ending

    def close(self, ending: EmbedsvcError) -> None:
        """Close the rows, when nobody works on them."""
        self.readers.close()
        self.writer.close(ending)

    def _again(self, _: View) -> View:
        with self.connection() as connection:
            return self._recovered(connection)

    def _recovered(self, connection: apsw.Connection) -> View:
        recovered = recover(connection, self.identity.parts, self._files, self.tuning)
        self.damage, self.saved = recovered.damage, list(recovered.saved)
        return recovered.view

    def _meet(self, connection: apsw.Connection) -> View:
        """Begin a transaction in the state of the view.

        In two states, a recording replaced between them would be found in neither: its old
        segments are gone from the rows, its new ones not yet in the view.
        """
        for _ in range(TRIES):
            view = self.writer.view
            connection.execute("BEGIN")
            if reads.sequence(connection) == view.sequence:
                return view
            connection.execute("ROLLBACK")

        def begin() -> View:
            connection.execute("BEGIN")
            reads.sequence(connection)
            return self.writer.view

        return self.writer.at_rest(begin)
