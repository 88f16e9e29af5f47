"""On what terms a call comes: its lane, and the deadline that its caller gave it."""

import time

from embedsvc.batching import Terms
from embedsvc.service.status import Context
from embedsvc.types import Lane
from embedsvc.wire import enums


def terms(context: Context, lane: Lane, *, patient: bool) -> Terms:
    """The terms of a call in `lane`."""
    left: float | None = context.time_remaining()  # the stubs forget calls without a deadline
    deadline = None if left is None else time.monotonic() + left
    return Terms(lane, deadline, patient)


def chosen_lane(number: int, field: str, default: Lane) -> Lane:
    """The lane that a request asks for, or the one of its method."""
    return enums.ours(enums.LANE, number, field) if number else default
