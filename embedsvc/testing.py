"""A real server for tests: the whole service, on this machine, for the length of a block."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from embedsvc.client.local import LocalServer

ADDRESS = "127.0.0.1:0"
"""A free port of this machine alone."""


@contextmanager
def serving(flags: Mapping[str, Any] | None = None, address: str = ADDRESS) -> Iterator[str]:
    """The target of a server with the model `mini` and collections that are gone afterwards.

    `flags` overlay that as those of `settings.load` do, for example
    `{"audio": {"max_unary_seconds": 5}}`. An `address` of `unix:PATH` makes a socket file.

    >>> from embedsvc import Client
    >>> with serving() as target, Client(target) as client:
    ...     client.info().model
    'mini'
    """
    asked = flags or {}
    with tempfile.TemporaryDirectory(prefix="embedsvc-data-") as data:
        server = LocalServer(
            {
                "data": data,
                **asked,
                "model": {"name": "mini", **asked.get("model", {})},
                "server": {"address": address, **asked.get("server", {})},
            }
        )
        try:
            yield server.target
        finally:
            server.stop()
