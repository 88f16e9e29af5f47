"""Calibrations beside a checkpoint: what turns the confidence of its heads into a share.

Each belongs to the weights it was fitted for: of a head that was trained again it is not used.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from embedsvc.ctc.calibration import Calibration, from_json
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.errors import FailedPrecondition, InvalidArgument

CALIBRATION_FILE = "calibration.json"
"""An object: the name of each head that is calibrated, its calibration, and the digest of it."""


@dataclass(frozen=True)
class Fitted:
    """A calibration, and the digest of the head that it was fitted for, "" where nobody said."""

    calibration: Calibration
    digest: str = ""


def calibrated(head: CtcHead, directory: Path) -> CtcHead:
    """The head with its calibration in `directory`, or as it is where there is none of its own.

    One that was fitted for other weights or labels, or for nobody knows which, is left out, and
    the head says so. Raises FailedPrecondition for a calibration that is none.
    """
    found = read_calibrations(directory).get(head.info.name)
    if found is None:
        return head
    if not found.digest or found.digest != head.digest:
        whose = "other weights or labels" if found.digest else "a head that it does not tell"
        return replace(head, left_out=f"{CALIBRATION_FILE} was fitted for {whose}")
    method = found.calibration.method
    return replace(head, info=replace(head.info, calibration=method), calibration=found.calibration)


def read_calibrations(directory: Path) -> Mapping[str, Fitted]:
    """Calibrations in `directory` by name of the head, of any heads; none without the file."""
    path = directory / CALIBRATION_FILE
    if not path.exists():
        return {}
    try:
        return {name: _fitted(each) for name, each in read_object(path).items()}
    except InvalidArgument as error:
        raise FailedPrecondition(
            f"`model` must have sound calibrations in {CALIBRATION_FILE}, but {error}",
            field="model",
        ) from error


def _fitted(found: object) -> Fitted:
    if not isinstance(found, dict):
        return Fitted(from_json(found))
    digest = found.get("digest", "")
    if not isinstance(digest, str):
        raise InvalidArgument("`digest` must be a text", field="calibration")
    rest = {name: each for name, each in found.items() if name != "digest"}
    return Fitted(from_json(rest), digest)


def written(head: CtcHead, calibration: Calibration, directory: Path) -> bytes:
    """What the file in `directory` is to hold with a calibration of `head` in it."""
    each = {**read_calibrations(directory), head.info.name: Fitted(calibration, head.digest)}
    values = {
        name: {"digest": each[name].digest} | each[name].calibration.to_json()
        for name in sorted(each)
    }
    return f"{json.dumps(values, ensure_ascii=False, indent=1)}\n".encode()
