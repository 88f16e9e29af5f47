"""`embedsvc bench encoder`: the encoder beside other ways to run the same model."""

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.flags import count, listed, positive
from embedsvc.cli.output import say
from embedsvc.errors import InvalidArgument

if TYPE_CHECKING:
    from embedsvc.bench.encoder import Comparison

AGAINST = ("eager", "sdpa", "ctranslate2", "onnxruntime", "openvino")
PRECISIONS = ("fp32", "bf16", "int8")


def add(
    what: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> argparse.ArgumentParser:
    """The command and its flags."""
    parser = what.add_parser("encoder", help="the encoder beside other ways to run the model")
    parser.add_argument(
        "--model", default="mini", help="mini, a directory, OWNER/NAME, or random-580m"
    )
    parser.add_argument("--layers", type=count, metavar="N", help="of random-580m (default: 24)")
    parser.add_argument(
        "--lengths",
        type=listed(str),
        default=["mixed"],
        metavar="S,...",
        help="mixed, or seconds of one utterance, such as mixed,5,30 (default: mixed)",
    )
    parser.add_argument(
        "--clips", type=count, default=8, metavar="N", help="utterances in mixed (default: 8)"
    )
    parser.add_argument(
        "--precisions",
        type=listed(str),
        default=None,
        metavar="P,...",
        help=f"those each library can run of {', '.join(PRECISIONS)} (default: all they can)",
    )
    parser.add_argument(
        "--against",
        type=listed(str),
        default=["eager", "sdpa"],
        metavar="LIBRARY,...",
        help=f"of {', '.join(AGAINST)} (default: eager,sdpa)",
    )
    parser.add_argument(
        "--device", default="cpu", help="cpu, cuda or cuda:N, of every engine (default: cpu)"
    )
    parser.add_argument("--rounds", type=count, default=5, help="default: 5")
    parser.add_argument("--threads", type=count, default=2, help="of each engine (default: 2)")
    return parser


def measure(chosen: argparse.Namespace) -> "tuple[dict[str, Any], Comparison]":
    """What is compared, and what came of it."""
    from embedsvc.bench import encoder, models
    from embedsvc.bench.engines import jobs
    from embedsvc.encoder.config import read_config

    precisions = list(PRECISIONS) if chosen.precisions is None else chosen.precisions
    _check("--against", chosen.against, AGAINST)
    _check("--precisions", precisions, PRECISIONS)
    device = _device(chosen)
    for name in chosen.lengths:
        if name != encoder.MIXED:
            _check_seconds(name)
    cases = encoder.cases(chosen.lengths, chosen.clips)
    with tempfile.TemporaryDirectory(prefix="embedsvc-bench-") as folder:
        scratch = Path(folder)
        model = models.directory_of(chosen.model, chosen.layers, scratch)
        asked = jobs(
            ["embedsvc", *chosen.against],
            precisions,
            model,
            scratch,
            chosen.threads,
            device,
        )
        compared = encoder.compare(asked, cases, chosen.rounds, say)
        layers = read_config(model).num_hidden_layers
    title = compared.cells[0].arm.title
    padding = {case.name: case.padding for case in cases if len(case.utterances) > 1}
    what = {
        "what": (
            f"{chosen.model} with {layers} layers on {title}, {chosen.threads} threads, "
            f"{chosen.rounds} rounds by turns; everybody gives the last hidden states of all "
            "frames; MiB are the most a pass held beyond the weights; ratios and differences are "
            f"to {compared.reference}, with quartiles in brackets"
        ),
        "model": chosen.model,
        "layers": layers,
        "device": title,
        "threads": chosen.threads,
        "rounds": chosen.rounds,
        "padding": padding,
    }
    return what, compared


def _device(chosen: argparse.Namespace) -> str:
    """The device, which is there, and on which everything that was named runs."""
    from embedsvc.bench.engines import LIBRARIES
    from embedsvc.encoder.model import usable_device

    if usable_device(chosen.device).type == "cpu":
        return "cpu"
    _check("--against", chosen.against, tuple(name for name in AGAINST if LIBRARIES[name].gpu))
    _check("--precisions", chosen.precisions or [], LIBRARIES["embedsvc"].gpu)
    return str(chosen.device)


def _check(flag: str, names: list[str], known: tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            raise InvalidArgument(f"`{flag}` must be of {', '.join(known)}, but has {name!r}")


def _check_seconds(name: str) -> None:
    try:
        positive(name)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise InvalidArgument(f"`--lengths` must be mixed or seconds, but has {name!r}") from error
