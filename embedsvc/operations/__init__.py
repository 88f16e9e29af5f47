"""Work that takes longer than a call: kept on disk, told about, cancelled, and resumed."""

from embedsvc.operations.operation import Operation, Progress, Tell
from embedsvc.operations.runner import Kind, Operations, Work

__all__ = ["Kind", "Operation", "Operations", "Progress", "Tell", "Work"]
