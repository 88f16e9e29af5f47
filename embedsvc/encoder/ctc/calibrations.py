"""Calibrations beside a checkpoint: what turns the confidence of its heads into a share."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from embedsvc.ctc.calibration import Calibration, from_json
from embedsvc.encoder.config import read_object
from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.errors import FailedPrecondition, InvalidArgument

CALIBRATION_FILE = "calibration.json"
"""An object: the name of each head that is calibrated, and its calibration."""


def calibrated(head: CtcHead, directory: Path) -> CtcHead:
    """The head with its calibration in `directory`, or as it is where there is none.

    Raises FailedPrecondition for a calibration that is none.
    """
    found = read_calibrations(directory).get(head.info.name)
    if found is None:
        return head
    return replace(head, info=replace(head.info, calibration=found.method), calibration=found)


def read_calibrations(directory: Path) -> Mapping[str, Calibration]:
    """Calibrations in `directory` by name of the head, of any heads; none without the file."""
    path = directory / CALIBRATION_FILE
    if not path.exists():
        return {}
    try:
        return {name: from_json(each) for name, each in read_object(path).items()}
    except InvalidArgument as error:
        raise FailedPrecondition(
            f"`model` must have sound calibrations in {CALIBRATION_FILE}, but {error}",
            field="model",
        ) from error


def written(name: str, calibration: Calibration, directory: Path) -> bytes:
    """What the file in `directory` is to hold with a calibration of the head `name` in it."""
    each = {**read_calibrations(directory), name: calibration}
    values = {name: each[name].to_json() for name in sorted(each)}
    return f"{json.dumps(values, ensure_ascii=False, indent=1)}\n".encode()
