"""The service in this process: the same server, on a socket file that only this user sees."""

import asyncio
import contextlib
import shutil
import tempfile
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LOCAL = ":local:"


class LocalServer:
    """A server in a thread of its own, from construction to `stop`.

    `flags` are those of `settings.load`; without an address among them it listens on a socket
    file. `target` is where it answers.
    """

    def __init__(self, flags: Mapping[str, Any]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="embedsvc-"))
        # Also at exit, for those who never stop it.
        self._remove_folder = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        server = {"address": f"unix:{folder / 'socket'}", **flags.get("server", {})}
        self._flags = {**flags, "server": server}
        self.target = ""
        self._started = threading.Event()
        self._failure: Exception | None = None
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: it has stopped
            self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._remove_folder()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        # The service loads torch; a client of a remote server never comes here.
        from embedsvc import settings  # noqa: PLC0415
        from embedsvc.service.server import Server  # noqa: PLC0415

        try:
            # Embedding alone must not keep a server off its collections, nor the other way.
            server = Server(settings.load(self._flags), claim_data=False)
            await server.start()
        except Exception as error:  # noqa: BLE001  # raised by the thread that waits
            self._failure = error
            return
        else:
            self.target = server.address
        finally:
            self._started.set()
        await self._stopping.wait()
        await server.stop(5.0)
