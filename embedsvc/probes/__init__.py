"""Classifiers over vectors: trained, tested, calibrated, kept in files, and asked."""

from embedsvc.probes.background import sounds
from embedsvc.probes.examples import OF_RECORDING, Examples
from embedsvc.probes.probe import Probe
from embedsvc.probes.shelf import Shelf, check_name, parsed
from embedsvc.probes.storing import ProbeFiles, from_files, to_files
from embedsvc.probes.training import train
from embedsvc.probes.workplace import Gathering, Workplace

__all__ = [
    "OF_RECORDING",
    "Examples",
    "Gathering",
    "Probe",
    "ProbeFiles",
    "Shelf",
    "Workplace",
    "check_name",
    "from_files",
    "parsed",
    "sounds",
    "to_files",
    "train",
]
