"""The log: one JSON object a line, on stderr. Its field names are spelled here once.

Rooms do not log; the service writes one line for each call. Audio, transcripts and values of
metadata are never logged.
"""

import json
import logging
import sys
import time
from typing import Any

log = logging.getLogger("embedsvc")


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage(),
        }
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure(level: str = "INFO") -> None:
    """Send the log of this process to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    log.handlers[:] = [handler]
    log.setLevel(level.upper())
    log.propagate = False


def event(name: str, **fields: object) -> None:
    """Something worth a line that is not a call."""
    log.info(name, extra={"fields": fields})


def warning(name: str, **fields: object) -> None:
    """Something that is not as whoever runs the service will want it."""
    log.warning(name, extra={"fields": fields})


def call(method: str, status: str, seconds: float, **fields: object) -> None:
    """One finished call."""
    level = logging.ERROR if status == "INTERNAL" else logging.INFO
    fields = {"method": method, "status": status, "ms": round(seconds * 1e3, 2), **fields}
    log.log(level, "call", extra={"fields": fields})


def bug(method: str, request_id: str, error: BaseException) -> None:
    """An exception that nobody planned, with its trace."""
    log.error("bug", exc_info=error, extra={"fields": {"method": method, "request_id": request_id}})
