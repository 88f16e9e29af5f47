"""The version of the installed package."""

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed


def version() -> str:
    """The version, or `0` in a tree that is not installed."""
    try:
        return installed("embedsvc")
    except PackageNotFoundError:
        return "0"
