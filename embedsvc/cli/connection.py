"""The flags that client commands share, and the client they make."""

import argparse
from pathlib import Path

from embedsvc.client import Client
from embedsvc.types import ChannelPolicy


def add_flags(parser: argparse.ArgumentParser) -> None:
    """Where the service is."""
    where = parser.add_argument_group("service")
    where.add_argument("--target", metavar="HOST:PORT", help="a running server; else this process")
    where.add_argument("--data", metavar="DIR", type=Path, help="collections of this process")
    where.add_argument("--model", metavar="MODEL", help="mini, a directory, or OWNER/NAME")
    where.add_argument(
        "--projections", metavar="FILE", type=Path, help="further projections of this process"
    )
    where.add_argument("--json", action="store_true", help="one JSON object a line on stdout")


def add_channels(parser: argparse.ArgumentParser) -> None:
    """What to do with several channels."""
    parser.add_argument(
        "--channels",
        choices=[policy.value for policy in ChannelPolicy],
        default=ChannelPolicy.MIX.value,
        help="what to do with more than one channel (default: mix)",
    )


def connect(chosen: argparse.Namespace) -> Client:
    """A client as the flags say."""
    if chosen.target:
        return Client(chosen.target, model=chosen.model)
    return Client(data=chosen.data, model=chosen.model, projections=chosen.projections)
