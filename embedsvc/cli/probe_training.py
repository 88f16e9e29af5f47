"""`embedsvc probe train`: on a collection, or on a folder of speech and a table of labels."""

import argparse
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from embedsvc.cli import flags, spoken
from embedsvc.cli.output import progress, say
from embedsvc.cli.search import condition
from embedsvc.client import Client, Examples
from embedsvc.client.operations import Status
from embedsvc.errors import InvalidArgument
from embedsvc.types import OutputSpec, Pooling, ProbeInfo, ProbeRecipe, ProbeTask, Space


def add_flags(parser: argparse.ArgumentParser) -> None:
    """What to train on, and how. Without defaults, as all flags of an action."""
    source = parser.add_argument_group("examples")
    source.add_argument("--collection", metavar="NAME", help="recordings that are indexed already")
    source.add_argument("--speech", type=Path, metavar="DIR", help="or a folder of sound files")
    source.add_argument(
        "--metadata",
        type=Path,
        metavar="FILE",
        help="with --speech: .tsv, .csv or .jsonl, a row for each file, or for each span with "
        "columns `start` and `end` in seconds (default: index.tsv in the folder)",
    )
    source.add_argument("--label", metavar="FIELD", help="what is to be told (default: label)")
    source.add_argument(
        "--group", metavar="FIELD", help="what is never on both sides of a test, such as speaker"
    )
    source.add_argument("--only", type=condition, metavar="EXPR", help="only where this holds")
    reads = parser.add_argument_group("what it reads, with --speech")
    reads.add_argument(
        "--layers", type=flags.listed(int), metavar="L,L", help="hidden states (default: model's)"
    )
    reads.add_argument(
        "--pooling",
        choices=[pooling.value for pooling in Pooling],
        help="of those layers; none answers for every 20 ms",
    )
    reads.add_argument("--profile", help="of the model, in place of layers and pooling")
    reads.add_argument(
        "--mix-layers", action="store_true", help="weigh all layers, in place of the best one"
    )
    recipe = parser.add_argument_group("recipe")
    recipe.add_argument("--task", choices=[task.value.replace("_", "-") for task in ProbeTask])
    recipe.add_argument("--strengths", type=flags.listed(float), metavar="C,C")
    recipe.add_argument("--folds", type=int, metavar="N")
    recipe.add_argument("--calibration", choices=["temperature", "isotonic"])
    recipe.add_argument("--alpha", type=float, metavar="A", help="sets miss the truth so often")
    recipe.add_argument("--test-share", type=float, metavar="S", help="of the groups, for figures")
    recipe.add_argument("--unbalanced", action="store_true", help="large classes count more")
    recipe.add_argument("--seed", type=int, metavar="N")
    recipe.add_argument("--license", metavar="TEXT", help="under which it may be used")
    recipe.add_argument("--about", metavar="TEXT", help="what it is, for those who ask")


def train(client: Client, chosen: argparse.Namespace) -> ProbeInfo:
    """Train what the flags say."""
    has = {name for name in ("collection", "speech") if hasattr(chosen, name)}
    if len(has) != 1:
        raise InvalidArgument("give `--collection` or `--speech`, one of them")
    with progress() as bar:
        task = bar.add_task("waiting", total=None)

        def tell(now: Status) -> None:
            what = now.step or "waiting"
            bar.update(task, description=what, completed=now.done, total=now.total or None)

        def embedded(done: int, total: int) -> None:
            bar.update(task, description="embedding", completed=done, total=total)

        card = {name: getattr(chosen, name, "") for name in ("license", "about")}
        if "speech" in has:
            return _on_speech(client, chosen, card, tell, embedded)
        return client.probes.train(
            chosen.probe,
            chosen.collection,
            getattr(chosen, "label", "label"),
            group=getattr(chosen, "group", ""),
            where=getattr(chosen, "only", None),
            recipe=_recipe(chosen),
            tell=tell,
            **card,
        )


def _on_speech(
    client: Client,
    chosen: argparse.Namespace,
    card: dict[str, str],
    tell: Callable[[Status], None],
    embedded: Callable[[int, int], None],
) -> ProbeInfo:
    folder = chosen.speech
    rows = spoken.rows(
        folder,
        getattr(chosen, "metadata", folder / "index.tsv"),
        getattr(chosen, "label", "label"),
        getattr(chosen, "group", ""),
        getattr(chosen, "only", None),
    )
    found = spoken.embedded(client, rows, _specs(chosen), say, embedded)
    first = next(found, None)
    if first is None:
        raise InvalidArgument(f"`--speech` must have files that can be embedded: {folder}")
    spaces, _ = first
    return client.probes.train_on_vectors(
        chosen.probe,
        _examples(chain([first], found)),
        spaces,
        recipe=_recipe(chosen),
        tell=tell,
        **card,
    )


def _examples(found: Iterator[tuple[tuple[Space, ...], Examples]]) -> Iterator[Examples]:
    for _, examples in found:
        yield examples


def _specs(chosen: argparse.Namespace) -> list[OutputSpec]:
    profile = getattr(chosen, "profile", "")
    pooling = Pooling(chosen.pooling) if hasattr(chosen, "pooling") else None
    layers = getattr(chosen, "layers", [])
    if profile and (layers or pooling):
        raise InvalidArgument("`--profile` stands for layers and pooling: give one or the other")
    if profile:
        return [OutputSpec(profile=profile)]
    if not layers:
        return [OutputSpec(pooling=pooling)]
    # Without projections, which not every layer has: those that are mixed must be alike.
    return [OutputSpec(str(layer), layer, pooling, "") for layer in layers]


def _recipe(chosen: argparse.Namespace) -> ProbeRecipe:
    fields: dict[str, Any] = {
        name: getattr(chosen, name)
        for name in ("folds", "calibration", "alpha", "test_share", "seed")
        if hasattr(chosen, name)
    }
    if hasattr(chosen, "task"):
        fields["task"] = ProbeTask(chosen.task.replace("-", "_"))
    if hasattr(chosen, "strengths"):
        fields["strengths"] = tuple(chosen.strengths)
    return ProbeRecipe(
        mix_layers=getattr(chosen, "mix_layers", False),
        balanced=not getattr(chosen, "unbalanced", False),
        **fields,
    )
