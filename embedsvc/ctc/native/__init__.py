"""The prefix beam search compiled, for any x86-64 processor; `reference` says what it means."""

from embedsvc.ctc.native.kernel import followed
from embedsvc.ctc.native.loader import library

__all__ = ["followed", "library"]
