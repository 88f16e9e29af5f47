"""Classifiers over vectors: trained, tested, calibrated, kept in files, and asked."""

from embedsvc.probes.examples import Examples
from embedsvc.probes.probe import Probe
from embedsvc.probes.storing import ProbeFiles, from_files, to_files
from embedsvc.probes.training import train

__all__ = ["Examples", "Probe", "ProbeFiles", "from_files", "to_files", "train"]
