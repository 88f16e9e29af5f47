"""`embedsvc train`: make a compact encoder from texts, a synthesizer and recordings.

`mini` does it all: speech is synthesized and turned to features, an encoder is trained on them, and
a model directory comes out that every other command takes by `--model`. It goes on where it was
stopped, also by kill -9. `probes` makes the classifiers that ship with a model, `letters` CTC
heads for it.
"""

import argparse
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from embedsvc.cli import train_letters
from embedsvc.cli.flags import count, listed
from embedsvc.cli.output import emit, progress, say
from embedsvc.errors import InvalidArgument

HELD_OUT_SEED = 2
"""Another than that of what is trained on, so that voices and texts are paired anew."""


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("train", help="train a compact encoder")
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    mini = what.add_parser("mini", help="from texts and recordings to a model directory")
    mini.add_argument("--texts", type=Path, metavar="DIR", help="unpacked texts to be spoken")
    mini.add_argument("--speech", type=Path, metavar="DIR", help="sets of recordings")
    mini.add_argument("--out", type=Path, required=True, metavar="DIR", help="all that is made")
    mini.add_argument("--config", type=Path, metavar="TOML", help="default: the one that ships")
    mini.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="such as schedule.steps=9"
    )
    mini.add_argument("--hours", type=float, default=60.0, help="synthetic speech to make")
    mini.add_argument("--minutes", type=float, default=math.inf, help="stop then, to go on later")
    mini.add_argument("--device", default="cpu", help="cpu or cuda")
    mini.add_argument("--json", action="store_true", help="one JSON object a line")
    mini.add_argument("--processes", type=int, help="default: one for each core of the CPU")
    mini.set_defaults(run=_mini)
    _add_held_out(what)
    parallel = what.add_parser("parallel", help="speech to align languages on, for `align train`")
    parallel.add_argument("--texts", type=Path, required=True, metavar="DIR")
    parallel.add_argument("--out", type=Path, required=True, metavar="DIR")
    parallel.add_argument("--languages", type=listed(str), metavar="CODES", help="as in eng,deu")
    parallel.add_argument("--lines", type=count, help="sentences of each language (default: 120)")
    parallel.add_argument("--names", type=int, help="names of each language (default: 80)")
    parallel.set_defaults(run=_parallel)
    probes = what.add_parser("probes", help="the probes that ship with a model")
    probes.add_argument("--model", default="mini", help="bundled name or directory")
    probes.add_argument("--synthetic", type=Path, metavar="DIR", help="made by `train held-out`")
    probes.add_argument("--speech", type=Path, metavar="DIR", help="sets of recordings")
    probes.add_argument("--only", type=listed(str), metavar="NAMES", help="as in language,emotion")
    probes.add_argument("--out", type=Path, required=True, metavar="DIR")
    probes.add_argument("--threads", type=int, default=2, help="of the encoder (default: 2)")
    probes.set_defaults(run=_probes)
    train_letters.add(what)


def _add_held_out(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    held_out = what.add_parser("held-out", help="speech to evaluate on, of texts never trained on")
    held_out.add_argument("--texts", type=Path, required=True, metavar="DIR")
    held_out.add_argument("--out", type=Path, required=True, metavar="DIR")
    held_out.add_argument("--languages", type=listed(str), metavar="CODES", help="as in eng,deu")
    held_out.add_argument("--clips", type=count, help="of kept texts in each (default: 14)")
    held_out.set_defaults(run=_held_out)


def _mini(chosen: argparse.Namespace) -> int:
    from embedsvc.training.build import build
    from embedsvc.training.corpus import Corpus
    from embedsvc.training.recipe import read_recipe, shipped
    from embedsvc.training.state import Run
    from embedsvc.training.trainer import Limits, train

    recipe = read_recipe(chosen.config or shipped("mini"), _changes(chosen.set))
    cores = len(os.sched_getaffinity(0))
    processes = chosen.processes
    if processes is None:
        processes = cores if chosen.device == "cpu" else 1
    limits = Limits(chosen.device, processes, max(1, cores // max(1, processes)), chosen.minutes)
    corpus, run = chosen.out / "corpus", Run(chosen.out / "run")
    if not (corpus / "manifest.json").exists():
        _prepare(chosen, corpus)
    if not run.is_finished(recipe.schedule.steps):
        train(corpus, run.folder, recipe, limits, _as_json if chosen.json else _as_text)
        if not run.is_finished(recipe.schedule.steps):
            say("stopped and kept; call it again to go on")
            return 0
    say("fitting the projections")
    build(run, Corpus.open(corpus), recipe.output, chosen.out / "model")
    say(f"the model is in {chosen.out / 'model'}")
    return 0


def _prepare(chosen: argparse.Namespace, corpus: Path) -> None:
    from embedsvc.training.prepare import Plan, prepare

    for name in ("texts", "speech"):
        if getattr(chosen, name) is None:
            raise InvalidArgument(f"`--{name}` must be given, for {corpus} is not made yet")
    plan = Plan(chosen.texts, chosen.speech, chosen.hours, len(os.sched_getaffinity(0)))
    with _shards() as report:
        prepare(plan, corpus, report)


def _held_out(chosen: argparse.Namespace) -> int:
    from embedsvc.training.held_out import Extent, hold_out

    extent = Extent(tuple(chosen.languages or ()), chosen.clips)
    with _shards() as report:
        counts = hold_out(chosen.texts, chosen.out, HELD_OUT_SEED, report, extent)
    emit(dict(counts))
    return 0


def _parallel(chosen: argparse.Namespace) -> int:
    from embedsvc.training.parallel import Plan, make_parallel

    languages = tuple(chosen.languages) if chosen.languages else None
    given = {"lines": chosen.lines, "names": chosen.names, "languages": languages}
    known = {name: value for name, value in given.items() if value is not None}
    plan = Plan(chosen.texts, **known)
    with _shards() as report:
        counts = make_parallel(plan, chosen.out, report)
    emit(dict(counts))
    return 0


def _probes(chosen: argparse.Namespace) -> int:
    from embedsvc.evaluation.speech import SYNTHETIC, read_set, read_speech
    from embedsvc.pipeline import loading
    from embedsvc.training.probing import KINDS, make, write_probe

    names = chosen.only or list(KINDS)
    if unknown := set(names) - KINDS.keys():
        raise InvalidArgument(f"`--only` must be of {', '.join(KINDS)}, but has {sorted(unknown)}")
    made = read_set(chosen.synthetic, SYNTHETIC) if chosen.synthetic else ()
    people = read_speech(chosen.speech) if chosen.speech else ()
    encoder = loading.load(chosen.model, chosen.threads)
    for name in names:
        with _stages() as tell:
            probe = make(encoder, KINDS[name], (*made, *people), tell)
        size = write_probe(probe, chosen.out / name)
        emit({"probe": name, "bytes": size, "figures": dict(probe.info.figures)})
    return 0


@contextmanager
def _shards() -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar over the parts of what is made; lines where there is no terminal."""
    with progress() as bar:
        task = bar.add_task("speech", total=None)

        def report(name: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=name)
            if bar.disable:
                say(f"{done}/{total} {name}")

        yield report


@contextmanager
def _stages() -> Iterator[Callable[[str, int, int], None]]:
    """A bar for what is done at the moment."""
    with progress() as bar:
        task = bar.add_task("probe", total=None)

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield tell


def _changes(settings: list[str]) -> dict[str, str]:
    changes = {}
    for each in settings:
        name, equals, value = each.partition("=")
        if not equals:
            raise InvalidArgument(f"`--set` must be NAME=VALUE, but is {each}")
        changes[name] = value
    return changes


def _as_json(record: Mapping[str, Any]) -> None:
    emit(dict(record))


def _as_text(record: Mapping[str, Any]) -> None:
    values = dict(record)
    kind, step = values.pop("kind"), values.pop("step")
    left = values.pop("seconds_left", None)
    shown = "  ".join(f"{name} {value:.3f}" for name, value in values.items())
    say(f"{kind} {step}: {shown}" + ("" if left is None else f"  {left / 60:.0f} min left"))
