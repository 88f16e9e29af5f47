"""The service in this process: the same server, on a socket file that only this user sees."""

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path

from embedsvc.errors import EmbedsvcError

LOCAL = ":local:"


class LocalServer:
    """A server in a thread of its own, from construction to `stop`."""

    def __init__(self, data: str | Path | None, model: str | None) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="embedsvc-"))
        self.target = f"unix:{self._folder / 'socket'}"
        self._flags = {
            "data": None if data is None else str(data),
            "model": {"name": model},
            "server": {"address": self.target},
        }
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="embedsvc-local", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self.stop()
            raise self._failure

    def stop(self) -> None:
        """Stop the server, and leave nothing but its data."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # The service loads torch; a client of a remote server never comes here.
        from embedsvc import settings  # noqa: PLC0415
        from embedsvc.service.server import Server  # noqa: PLC0415

        try:
            server = Server(settings.load(self._flags))
            await server.start()
        except (EmbedsvcError, OSError) as error:
            self._failure = error
            return
        finally:
            self._started.set()
        await self._stopping.wait()
        await server.stop(5.0)
