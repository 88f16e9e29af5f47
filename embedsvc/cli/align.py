"""`embedsvc align`: a projection that finds what says the same in other languages.

`train` learns it from parallel speech, or from vectors of texts, in minutes; `whiten` needs any
speech. What comes out is a file for `--projections` of every command that loads a model.
"""

import argparse
import json
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc import filters
from embedsvc.cli.flags import count
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.cli.search import condition
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats, OutputSpec, Pooling, Windowing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from embedsvc.encoder import Encoder
    from embedsvc.encoder import Plan as EncoderPlan
    from embedsvc.evaluation.speech import Row
    from embedsvc.training.alignment import Aligned, Material, Plan, Point
    from embedsvc.training.hearing import Heard, Wanted
    from embedsvc.training.projections import Parts

INDEX = "index.tsv"
_SHOWN_PAIRS = 12
_SHOWN_FAILURES = 5


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """The command and its flags."""
    parser = commands.add_parser("align", help="fit a projection across languages")
    what = parser.add_subparsers(dest="what", metavar="WHAT", required=True)
    train = what.add_parser("train", help="learn it from speech that says the same")
    _add_flags(train, "aligned")
    train.add_argument("--steps", type=count, help="at most (default: as shipped)")
    train.add_argument("--seed", type=int, default=1)
    train.add_argument("--texts", type=Path, metavar="FILE.npz", help="vectors of texts by path")
    train.add_argument("--report", type=Path, metavar="FILE.json", help="write every figure there")
    train.set_defaults(run=run)
    whitened = what.add_parser("whiten", help="give all directions of any speech the same weight")
    _add_flags(whitened, "whitened")
    whitened.set_defaults(run=_whiten)
    adding = what.add_parser("add", help="put projections of files into a model's directory")
    adding.add_argument("directory", type=Path, metavar="MODEL_DIR")
    adding.add_argument("files", nargs="+", type=Path, metavar="FILE.safetensors")
    adding.set_defaults(run=_add)


def _add_flags(parser: argparse.ArgumentParser, name: str) -> None:
    parser.add_argument(
        "index",
        nargs="+",
        type=Path,
        metavar="INDEX.tsv",
        help="tables beside their sound files, or folders, with path, split, language and group; "
        "rows without a group say what nobody says again",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.safetensors")
    parser.add_argument("--model", default="mini", help="bundled name, directory or Hub name")
    parser.add_argument("--name", default=name, help=f"of the projection (default: {name})")
    parser.add_argument(
        "--only",
        type=condition,
        default=filters.parse('split = "train"'),
        metavar="EXPR",
        help="""rows to learn from (default: split = "train")""",
    )
    parser.add_argument("--layer", type=int, help="default: the model's choice")
    parser.add_argument("--pooling", choices=["mean", "mean_std", "max"])
    parser.add_argument(
        "--dim", type=count, default=256, help="dimensions that come out (default: 256 at most)"
    )
    parser.add_argument("--views", type=count, default=2, help="of a clip: 1 is it as it is")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep what the encoder heard")
    parser.add_argument("--threads", type=count, help="of the encoder (default: one for each core)")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(chosen: argparse.Namespace) -> int:
    """Hear all clips, learn, write the projection and tell what it is worth."""
    from embedsvc.training.alignment import align

    _check_folders(chosen.out, chosen.report)
    base, material = _heard(chosen)
    if not (material.groups != "").any():
        raise InvalidArgument("`INDEX.tsv` must have rows with a group that meet --only")
    with _telling(as_json=chosen.json) as tell:
        aligned = align(material, _parts(base), _plan(chosen), tell)
    _write(chosen, base, aligned.parts)
    _show(aligned, chosen)
    return 0


def _whiten(chosen: argparse.Namespace) -> int:
    from embedsvc.training.projections import whiten

    _check_folders(chosen.out)
    base, material = _heard(chosen)
    flat = material.vectors.reshape(-1, material.vectors.shape[2])
    _write(chosen, base, whiten(flat, min(chosen.dim, flat.shape[1])))
    if chosen.json:
        emit({"kind": "whitened", "clips": len(material), "views": chosen.views})
    return 0


def _add(chosen: argparse.Namespace) -> int:
    from embedsvc.encoder import add_projections, resolve

    checkpoint = resolve(str(chosen.directory))
    config = checkpoint.config
    names = add_projections(
        checkpoint.directory, chosen.files, config.hidden_size, config.num_hidden_layers
    )
    say(f"{checkpoint.directory} has now: {', '.join(names)}")
    return 0


def _check_folders(*paths: Path | None) -> None:
    """Refuse before an hour of work what could not be written after it."""
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise InvalidArgument(f"`--out` and `--report` must be in a folder that exists: {path}")


def _heard(chosen: argparse.Namespace) -> "tuple[EncoderPlan, Material]":
    """What the model makes of its own choices, and vectors of all clips."""
    from embedsvc.encoder import Encoder, resolve
    from embedsvc.training.hearing import Wanted

    rows = _rows(chosen)
    encoder = Encoder.load(resolve(chosen.model), chosen.threads)
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    base = encoder.plan(OutputSpec("", chosen.layer, pooling), Windowing())
    wanted = Wanted(base.layer, base.pooling, chosen.views)
    _check_name(encoder, chosen.name, wanted)
    return base, _material(encoder, rows, wanted, chosen)


def _write(chosen: argparse.Namespace, base: "EncoderPlan", parts: "Parts") -> None:
    from embedsvc.encoder import write_projections

    stem = f"{chosen.name}/layer{base.layer}/{base.pooling}"
    named = dict(zip(("mean", "scale", "matrix"), parts, strict=True))
    write_projections(chosen.out, {f"{stem}/{part}": each for part, each in named.items()})
    say(
        f"wrote {chosen.out}; try: embedsvc serve --model {chosen.model} --projections {chosen.out}"
    )


def _rows(chosen: argparse.Namespace) -> "list[Row]":
    """Rows that meet --only, of all tables; each is a corpus of its own, by its folder."""
    from embedsvc.evaluation.speech import read_table

    rows: list[Row] = []
    for path in chosen.index:
        table = path / INDEX if path.is_dir() else path
        found = read_table(table, table.resolve().parent.name)
        rows += [row for row in found if filters.matches(chosen.only, row.metadata)]
    if not rows:
        raise InvalidArgument("`INDEX.tsv` must have rows that meet --only")
    return rows


def _check_name(encoder: "Encoder", name: str, wanted: "Wanted") -> None:
    from embedsvc.encoder import PROJECTION_NAME

    if not PROJECTION_NAME.fullmatch(name):
        raise InvalidArgument(
            f"`--name` must be lower-case letters, digits, _ and -, but is {name!r}"
        )
    if encoder.projections.has(name, wanted.layer, wanted.pooling):
        say(f"the model has a projection {name} already: give this one another --name to add it")


def _material(
    encoder: "Encoder", rows: "Sequence[Row]", wanted: "Wanted", chosen: argparse.Namespace
) -> "Material":
    import numpy as np

    from embedsvc.training.alignment import Material
    from embedsvc.training.hearing import hear

    with progress() as bar:
        task = bar.add_task("hearing", total=len(rows))
        heard = hear(
            encoder, rows, wanted, lambda done, _: bar.update(task, completed=done), chosen.cache
        )
    _say_failed(heard)
    if not len(heard.places):
        raise InvalidArgument("`INDEX.tsv` must name sound files that can be read")
    read = [rows[place] for place in heard.places]
    texts = getattr(chosen, "texts", None)
    teachers = None if texts is None else _teachers(texts, read)
    return Material(
        heard.vectors,
        np.array([row.language for row in read], dtype=np.str_),
        np.array([row.group and f"{row.corpus}/{row.group}" for row in read], dtype=np.str_),
        np.array([row.corpus for row in read], dtype=np.str_),
        teachers,
    )


def _say_failed(heard: "Heard") -> None:
    for line in heard.failed[:_SHOWN_FAILURES]:
        say(line)
    if len(heard.failed) > _SHOWN_FAILURES:
        say(f"... and {len(heard.failed) - _SHOWN_FAILURES} more clips that can not be read")


def _teachers(path: Path, rows: "Sequence[Row]") -> Floats:
    """Vectors of texts (n, E), by the path in the table or by its last part."""
    import zipfile

    import numpy as np

    try:
        with np.load(path) as file:
            known = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InvalidArgument(f"`--texts` must be an .npz of vectors, but {error}") from error
    found = [known.get(row.name, known.get(row.path.name)) for row in rows]
    missing = [row.name for row, vector in zip(rows, found, strict=True) if vector is None]
    if missing:
        raise InvalidArgument(
            f"`--texts` must have a vector for each path, but has none for {missing[0]} and "
            f"{len(missing) - 1} others"
        )
    shapes = {vector.shape for vector in found if vector is not None}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1:
        raise InvalidArgument(f"`--texts` must have vectors of one length, but has {shapes}")
    return np.stack([vector for vector in found if vector is not None]).astype(np.float32)


def _parts(base: "EncoderPlan") -> "Parts | None":
    """The projection to begin with, if the model has one that turns."""
    projection = base.projection
    if projection is None or projection.matrix is None:
        return None
    return projection.mean, projection.scale, projection.matrix


def _plan(chosen: argparse.Namespace) -> "Plan":
    from embedsvc.training.alignment import Plan

    given = {"dim": chosen.dim, "steps": chosen.steps, "seed": chosen.seed}
    return Plan(**{name: value for name, value in given.items() if value is not None})


@contextmanager
def _telling(*, as_json: bool) -> "Iterator[Any]":
    with progress() as bar:
        task = bar.add_task("learning", total=None)

        def tell(point: "Point", most: int) -> None:
            bar.update(task, completed=point.step, total=most)
            if as_json:
                emit({"kind": "check", **vars(point)})
            elif bar.disable:
                say(f"step {point.step}: loss {point.loss:.3f}, R@1 kept back {point.recall:.1%}")

        yield tell


def _show(aligned: "Aligned", chosen: argparse.Namespace) -> None:
    from embedsvc.training.alignment import document

    found = document(aligned)
    if chosen.report is not None:
        text = json.dumps(found, indent=1, allow_nan=False) + "\n"
        chosen.report.write_text(text, encoding="utf-8")
    if chosen.json:
        emit({"kind": "aligned", **found})
        return
    before, after = aligned.before, aligned.after
    rows = [
        (
            "all other languages",
            before.together.hits[1],
            after.together.hits[1],
            after.together.chance[1],
        )
    ]
    rows += (
        [("mean of pairs", before.mean["r1"], after.mean["r1"], after.mean["chance1"])]
        if after.pairs
        else []
    )
    ranked = sorted(after.pairs, key=lambda pair: -after.pairs[pair].hits[1])
    shown = (
        ranked
        if len(ranked) <= 2 * _SHOWN_PAIRS
        else ranked[:_SHOWN_PAIRS] + ranked[-_SHOWN_PAIRS:]
    )
    rows += [
        (
            f"{a} in {b}",
            before.pairs[a, b].hits[1],
            after.pairs[a, b].hits[1],
            after.pairs[a, b].chance[1],
        )
        for a, b in shown
    ]
    cells = [(name, *(f"{value:.1%}" for value in values)) for name, *values in rows]
    table("R@1 of groups kept back", ("asked in", "before>", "after>", "chance>"), cells)
