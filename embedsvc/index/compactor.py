"""One thread that rebuilds bases, one at a time, whatever the number of collections."""

import threading
import time
from collections.abc import Callable

MAX_RETRY_SECONDS = 3_600.0
"""The longest wait between attempts that fail."""


class Compactor:
    """Runs work in the background until it succeeds; waits longer after each failure."""

    def __init__(self, retry_seconds: float) -> None:
        self._retry_seconds = retry_seconds
        self._changed = threading.Condition()
        self._due: dict[str, Callable[[], bool]] = {}
        self._not_before: dict[str, float] = {}
        self._delays: dict[str, float] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    def request(self, key: str, work: Callable[[], bool]) -> None:
        """Have `work` done soon; it says whether it succeeded. Once for all that ask meanwhile."""
        with self._changed:
            if self._closed:
                return
            self._due.setdefault(key, work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="compactor", daemon=True)
                self._thread.start()
            self._changed.notify()

    def forget(self, key: str) -> None:
        """Drop the work of that key, unless it is being done."""
        with self._changed:
            self._settle(key)

    def close(self) -> None:
        """Stop; returns when the work in hand is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                key = self._next()
                if key is None:
                    return
                work = self._due.pop(key)
            succeeded = work()
            with self._changed:
                if succeeded:
                    self._not_before.pop(key, None)
                    self._delays.pop(key, None)
                else:
                    self._postpone(key, work)

    def _next(self) -> str | None:
        """The next key whose time has come; waits for it. None when closed."""
        while not self._closed:
            now = time.monotonic()
            times = {key: self._not_before.get(key, now) for key in self._due}
            for key, moment in times.items():
                if moment <= now:
                    return key
            self._changed.wait(min(times.values()) - now if times else None)
        return None

    def _postpone(self, key: str, work: Callable[[], bool]) -> None:
        delay = min(2 * self._delays.get(key, self._retry_seconds / 2), MAX_RETRY_SECONDS)
        self._delays[key] = delay
        self._not_before[key] = time.monotonic() + delay
        self._due.setdefault(key, work)

    def _settle(self, key: str) -> None:
        for table in (self._due, self._not_before, self._delays):
            table.pop(key, None)
