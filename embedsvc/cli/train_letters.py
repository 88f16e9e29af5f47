"""`train letters`: heads that write letters, for a model that stays as it is."""

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc.cli.flags import listed
from embedsvc.cli.output import emit, progress, say
from embedsvc.errors import InvalidArgument

if TYPE_CHECKING:
    from embedsvc.training.letter_training import Recipe
    from embedsvc.training.letters import Tell


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = what.add_parser("letters", help="CTC heads that write letters, for a model")
    parser.add_argument("--texts", type=Path, required=True, metavar="DIR", help="to be spoken")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="all that is made")
    parser.add_argument(
        "--heads",
        type=listed(str),
        required=True,
        metavar="CODES",
        help="languages of each head, as in spa,ita+por for two heads",
    )
    parser.add_argument("--model", default="mini", help="bundled name or directory")
    parser.add_argument("--hours", type=float, default=1.5, help="of speech of each language")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="such as epochs=9"
    )
    parser.add_argument("--threads", type=int, default=1, help="to train with (default: 1)")
    parser.add_argument("--into", type=Path, metavar="DIR", help="model directory to put them in")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.set_defaults(run=run)


def run(chosen: argparse.Namespace) -> int:
    """Make what is not there yet, and train one head after the other."""
    from embedsvc.encoder.ctc.letter_files import write_letters
    from embedsvc.pipeline import loading
    from embedsvc.training.letter_speech import Speech
    from embedsvc.training.letters import Wanted, learn, prepare

    heads = [Wanted(tuple(each.split("+"))) for each in chosen.heads]
    languages = tuple(dict.fromkeys(code for head in heads for code in head.languages))
    speech = Speech(chosen.texts, languages, chosen.hours)
    recipe = _recipe(chosen.set)
    encoder = loading.load(chosen.model, chosen.threads)
    with _telling() as tell:
        prepare(encoder, speech, recipe.layer, chosen.out, tell)
    made = []
    for head in heads:

        def report(record: Mapping[str, Any], name: str = head.name) -> None:
            _report({"head": name, **record}, chosen.json)

        made.append(learn(encoder, head, recipe, chosen.out, chosen.threads, report))
    if chosen.into is not None:
        write_letters(made, chosen.into)
        say(f"wrote {', '.join(head.name for head in made)} into {chosen.into}")
    return 0


def _recipe(settings: list[str]) -> "Recipe":
    from embedsvc.training.letter_training import Recipe

    usual = Recipe()
    kinds = {each.name: type(getattr(usual, each.name)) for each in fields(usual)}
    changes = {}
    for each in settings:
        name, _, value = each.partition("=")
        if name not in kinds:
            raise InvalidArgument(f"`--set` must be of {', '.join(kinds)}, but is {each}")
        try:
            changes[name] = kinds[name](value)
        except ValueError as error:
            raise InvalidArgument(f"`--set` must give {name} a number, but is {each}") from error
    return replace(usual, **changes)


def _report(record: Mapping[str, Any], as_json: bool) -> None:
    if as_json:
        emit(dict(record))
        return
    rate = f"validation CER {record['character_errors']:.1%}"
    if record["kind"] == "epoch":
        done = f"epoch {record['step']}: loss {record['loss']:.3f}"
        say(f"{record['head']} {done}, {rate}, {record['seconds']:.0f} s")
    else:
        say(f"{record['head']} blank gives up {record['handicap']:g} nats: {rate}")


@contextmanager
def _telling() -> "Iterator[Tell]":
    with progress() as bar:
        task = bar.add_task("speech", total=None)
        yield lambda what, done, total: bar.update(
            task, completed=done, total=total, description=what
        )
