"""Group commit: writes that wait for each other share one transaction and its fsync."""

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import apsw

from embedsvc.errors import EmbedsvcError, Unavailable
from embedsvc.index.changes import Change
from embedsvc.index.database import storage_errors
from embedsvc.index.view import Refit, View

T = TypeVar("T")

Write = Callable[[apsw.Connection, int], tuple[T, Change | Refit | None]]
"""A write given the connection and its sequence number; None if it changed nothing."""

GROUP = 256
"""Recordings in one transaction of several writes; more gain little and make all wait."""


@dataclass(eq=False)
class _Ticket(Generic[T]):
    """One write that waits, and then what became of it."""

    write: Write[T]
    size: int
    done: bool = False
    outcome: T | None = None
    error: BaseException | None = None

    def fail(self, error: BaseException) -> None:
        self.error = error
        self.done = True


class Writer:
    """The only way to change rows and to publish a view of them.

    There is no thread: of the callers that wait, the one that holds the lock commits for all.
    """

    def __init__(self, connection: apsw.Connection, view: View) -> None:
        self.view = view
        self._connection = connection
        self._lock = threading.Lock()
        self._waiting: deque[_Ticket[Any]] = deque()
        self._ending: EmbedsvcError | None = None

    def submit(self, write: Write[T], size: int = 1) -> T:
        """Run `write` on `size` recordings; on return it is durable and published.

        Raises what it raises, or DiskFull, in which case nothing of it happened.
        """
        ticket = _Ticket(write, size)
        self._waiting.append(ticket)
        with self._lock:
            while not ticket.done:
                self._commit(self._next_group())
        if ticket.error is not None:
            raise ticket.error
        return cast("T", ticket.outcome)

    def publish(self, change: Callable[[View], View]) -> None:
        """Replace the view by another of the same rows, with writes held off."""
        with self._lock:
            self.view = change(self.view)

    def at_rest(self, read: Callable[[], T]) -> T:
        """What `read` returns with writes held off."""
        with self._lock:
            return read()

    def close(self, ending: EmbedsvcError) -> None:
        """Refuse further writes with `ending`; the rows are whole at any moment."""
        with self._lock:
            if self._ending is None:
                self._ending = ending
                self._connection.close()

    def _next_group(self) -> list[_Ticket[Any]]:
        group = [self._waiting.popleft()]
        size = group[0].size
        while self._waiting and size + self._waiting[0].size <= GROUP:
            group.append(self._waiting.popleft())
            size += group[-1].size
        return group

    def _commit(self, group: list[_Ticket[Any]]) -> None:
        try:
            self._check_open()
            with storage_errors():
                self._transact(group)
        except Exception as error:  # noqa: BLE001  # each ticket's owner raises it
            if len(group) == 1:
                group[0].fail(error)
                return
            # One write that cannot be must not take the others with it.
            for ticket in group:
                self._commit([ticket])
        except BaseException:
            for ticket in group:
                if not ticket.done:
                    ticket.fail(Unavailable("`collection` was interrupted before the write"))
            raise

    def _check_open(self) -> None:
        if self._ending is not None:
            raise self._ending.with_traceback(None)

    def _transact(self, group: list[_Ticket[Any]]) -> None:
        sequence = self.view.sequence
        changes = []
        staged: View | None = None
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            for ticket in group:
                change = self._apply(ticket, sequence + 1)
                if change is not None:
                    sequence += 1
                    changes.append(change)
            if changes:
                execute("UPDATE meta SET value = ? WHERE key = 'sequence'", (sequence,))
            # Whatever may fail comes before the commit: what is durable must become visible.
            staged = self.view.changed(changes, sequence)
            execute("COMMIT")
        except Exception:
            staged = None
            raise
        finally:
            # Control-C during the commit's fsync is raised here, after the commit.
            if self._connection.in_transaction:
                execute("ROLLBACK")
            elif staged is not None:
                self._settle(staged, group)

    def _settle(self, view: View, group: list[_Ticket[Any]]) -> None:
        self.view = view
        for ticket in group:
            ticket.done = True

    def _apply(self, ticket: _Ticket[Any], sequence: int) -> Change | Refit | None:
        """Run one write; what it did before it raised one of our errors is undone."""
        execute = self._connection.execute
        execute("SAVEPOINT one")
        try:
            ticket.outcome, change = ticket.write(self._connection, sequence)
        except EmbedsvcError as error:
            execute("ROLLBACK TO one")
            ticket.error = error
            change = None
        else:
            ticket.error = None
        execute("RELEASE one")
        return change
