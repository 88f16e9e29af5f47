"""Is a CTC head right, and does it know? `evaluate transcription` and `transcribe calibrate`.

The model runs in this process. What was said is the column `phones` for a head of phones, or what
espeak-ng makes of the transcript; for one of text it is the transcript.
"""

import argparse
import json
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from embedsvc import filters
from embedsvc.cli import evaluate_texts, flags
from embedsvc.cli.output import progress, say, table
from embedsvc.cli.search import condition
from embedsvc.errors import InvalidArgument
from embedsvc.types import HeadKind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from embedsvc.ctc import Calibration
    from embedsvc.ctc.measures import ConfidenceFigures
    from embedsvc.encoder import Encoder
    from embedsvc.encoder.ctc import CtcHead
    from embedsvc.evaluation.embedding import Tell
    from embedsvc.evaluation.speech import Row
    from embedsvc.evaluation.transcription import AnyEncoder, Confidence, Figures, Spoken

_A_LANGUAGE = 8


def add(what: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`evaluate transcription` and its flags."""
    parser = what.add_parser("transcription", help="is a CTC head right, and does it know?")
    _add_common(parser)
    parser.add_argument(
        "--only",
        type=condition,
        default=filters.parse('split = "dev"'),
        metavar="EXPR",
        help="""rows to ask about (default: split = "dev")""",
    )
    parser.set_defaults(run=run)


def add_calibration(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """`transcribe calibrate` and its flags."""
    parser = commands.add_parser(
        "transcribe calibrate",
        help="make confidence the share that is right, on speech whose text is known",
    )
    _add_common(parser)
    parser.add_argument(
        "--by",
        choices=["split", "speaker", "group"],
        default="split",
        help="fit on train and measure on dev (default), or on halves of speakers or groups",
    )
    parser.add_argument(
        "--most",
        type=flags.count,
        default=_A_LANGUAGE,
        metavar="N",
        help=f"clips of each language to fit on (default: {_A_LANGUAGE})",
    )
    parser.add_argument(
        "--measure",
        choices=["entropy", "probability"],
        help="default: the one that tells most on half of what is fitted on",
    )
    parser.add_argument("--only", type=condition, metavar="EXPR", help="rows to use (default: all)")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help="model directory to write calibration.json into"
    )
    parser.add_argument(
        "--adopt",
        action="store_true",
        help="fit nothing: say that calibration.json of --model is of its heads as they are now",
    )
    parser.set_defaults(run=calibrate)


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sets", nargs="*", type=Path, metavar="DIR", help="folders of clips with an index.tsv"
    )
    parser.add_argument("--model", default="mini", help="bundled name or directory")
    parser.add_argument(
        "--head",
        default="",
        metavar="NAME",
        help="default: the only one for any language; NAME=MODEL[:LANG] is one of another model",
    )
    parser.add_argument(
        "--language", default="", metavar="CODE", help="the head that writes it, and its rows"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    parser.add_argument("--threads", type=int, default=2, help="of the encoder (default: 2)")


def run(chosen: argparse.Namespace) -> int:
    """Measure a head as it is, beside what its confidence would be without a calibration."""
    from embedsvc.evaluation.transcription import RAW

    heard = _ready(chosen)
    rows = rows_of(chosen)
    own = heard.head.calibration
    figures = heard.figures(rows, dict(RAW) | ({"as it is served": own} if own.raw else {}))
    _show(figures)
    _write(chosen.json, heard.head, figures, own)
    return 0


def calibrate(chosen: argparse.Namespace) -> int:
    """Fit on one part, measure on the other, and write what was fitted."""
    from embedsvc.ctc import ConfidenceMeasure
    from embedsvc.ctc.fitting import fit
    from embedsvc.encoder.ctc.calibrations import CALIBRATION_FILE, written
    from embedsvc.evaluation.speech import capped
    from embedsvc.evaluation.transcription import RAW, halves
    from embedsvc.files import replace_file

    if chosen.adopt:
        return _adopt(chosen.model)
    heard = _ready(chosen)
    learned, asked = halves(rows_of(chosen), chosen.by)
    if not learned or not asked:
        raise InvalidArgument(f"`DIR` must have rows on both sides of --by {chosen.by}")
    examples = [each.example for each in heard.said(capped(learned, chosen.most), "fitting")]
    vocabulary = heard.head.vocabulary
    if chosen.measure is None:
        fitted = fit(examples, vocabulary)
    else:
        fitted = fit(examples, vocabulary, [ConfidenceMeasure(chosen.measure)])
    figures = heard.figures(asked, {**RAW, "calibrated": fitted})
    say(f"fitted on {len(examples)} clips: {fitted.method}, temperature {fitted.temperature:.3f}")
    _show(figures)
    _write(chosen.json, heard.head, figures, fitted)
    if chosen.out is not None:
        path = chosen.out / CALIBRATION_FILE
        replace_file(path, written(heard.head, _rounded(fitted), chosen.out))
        say(f"wrote {path}")
    return 0


def _adopt(model: str) -> int:
    """Write the calibrations of a model anew, each with the digest of its head."""
    from embedsvc.encoder.ctc import load_heads, resolve_ctc
    from embedsvc.encoder.ctc.calibrations import CALIBRATION_FILE, read_calibrations, written
    from embedsvc.files import replace_file

    checkpoint = resolve_ctc(model)
    there = read_calibrations(checkpoint.directory)
    mine = [head for head in load_heads(checkpoint) if head.info.name in there]
    path = checkpoint.directory / CALIBRATION_FILE
    for head in mine:
        calibration = there[head.info.name].calibration
        replace_file(path, written(head, calibration, checkpoint.directory))
    say(f"{path}: of {', '.join(head.info.name for head in mine) or 'no head'} as it is now")
    return 0


def _rounded(fitted: "Calibration") -> "Calibration":
    """Six digits are more than the tokens can tell, and knots stay apart."""
    raw, told = _apart(fitted.raw, fitted.told)
    words = fitted.words and type(fitted.words)(*_apart(fitted.words.raw, fitted.words.told))
    heat = round(fitted.temperature, 4)
    return replace(fitted, temperature=heat, raw=raw, told=told, words=words)


def _apart(
    raw: "Sequence[float]", told: "Sequence[float]"
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    rounded = [float(f"{each:.6g}") for each in raw]
    kept = [place for place, each in enumerate(rounded) if each not in rounded[:place]]
    return tuple(rounded[place] for place in kept), tuple(round(told[place], 6) for place in kept)


@dataclass(frozen=True)
class _Ready:
    """A model and its head."""

    encoder: "AnyEncoder"
    head: "CtcHead"

    def said(self, rows: "Sequence[Row]", title: str) -> "Iterator[Spoken]":
        from embedsvc.evaluation.transcription import hear

        phones = known_phones(self.head, rows)
        with _telling(title) as tell:
            yield from hear(self.encoder, self.head, rows, phones, tell)

    def figures(self, rows: "Sequence[Row]", kinds: "Mapping[str, Calibration]") -> "Figures":
        from embedsvc.evaluation.transcription import measure

        return measure(self.said(rows, "measuring"), self.head.vocabulary, kinds)


def _ready(chosen: argparse.Namespace) -> _Ready:
    from embedsvc.pipeline.bodies import load_alone, wanted

    if not chosen.sets:
        raise InvalidArgument("`DIR` must be given")
    name, sign, model = chosen.head.partition("=")
    if sign:
        encoder, heads = load_alone(wanted(name, model), chosen.threads)
        found = _Ready(encoder, heads.chosen("", chosen.language))
    else:
        found = _Ready(*ready(chosen))
    if found.head.left_out:
        say(f"head {found.head.info.name!r} is not calibrated: {found.head.left_out}")
    return found


def ready(chosen: argparse.Namespace) -> "tuple[Encoder, CtcHead]":
    """The model that embeds, and the head of it that is asked about."""
    from embedsvc.pipeline import loading

    encoder, heads = loading.load_all(chosen.model, chosen.threads)
    return encoder, heads.chosen(chosen.head, chosen.language)


def rows_of(chosen: argparse.Namespace) -> "list[Row]":
    """Rows that are asked about of all sets that were named, of one language where it is named."""
    from embedsvc.evaluation.speech import INDEX, read_table
    from embedsvc.languages import normalize

    code = normalize(chosen.language) if chosen.language else ""
    every = (row for folder in chosen.sets for row in read_table(folder / INDEX, folder.name))
    return [row for row in every if code in ("", row.language) and _meets(row, chosen.only)]


def _meets(row: "Row", only: filters.Filter | None) -> bool:
    return only is None or filters.matches(only, row.metadata)


def known_phones(head: "CtcHead", rows: "Sequence[Row]") -> "Mapping[Row, tuple[str, ...]]":
    """Phones of the clips that have a transcript alone, where espeak-ng is there to tell."""
    silent = [row for row in rows if row.transcript and not row.phones]
    if head.info.kind is not HeadKind.PHONES or not silent:
        return {}
    if why := evaluate_texts.fault():
        say(f"left out {len(silent)} clips without phones: {why}")
        return {}
    return evaluate_texts.spell(silent)


@contextmanager
def _telling(title: str) -> "Iterator[Tell]":
    with progress() as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _show(found: "Figures") -> None:
    rates = {"labels": found.labels, "characters": found.characters, "words": found.words}
    rows = [
        (name, each.said, f"{each.rate:.1%}", each.substituted, each.inserted, each.deleted)
        for name, each in rates.items()
        if each is not None
    ]
    columns = ("errors of", "said>", "rate>", "substituted>", "inserted>", "deleted>")
    table(f"What {found.clips} clips say", columns, rows)
    told = [row for each in found.confidence for row in _told(each)]
    figures = ("confidence", "of", "heard>", "wrong>", "AUC>", "ECE>", "NCE>")
    table("Does confidence tell what is wrong?", figures, told)
    kept = [
        (each.name, f"{at.threshold:g}", f"{at.share:.1%}", f"{at.right:.1%}" if at.share else "-")
        for each in found.confidence
        for at in each.kept
    ]
    table("Labels from a threshold on", ("confidence", "from>", "kept>", "right>"), kept)


def _told(each: "Confidence") -> "Iterator[tuple[object, ...]]":
    yield (each.name, "labels", *_cells(each.tokens))
    if each.words is not None:
        yield (each.name, "words", *_cells(each.words))


def _cells(found: "ConfidenceFigures") -> tuple[object, ...]:
    auc = "-" if found.auc is None else f"{found.auc:.3f}"
    nce = "-" if found.nce is None else f"{found.nce:.3f}"
    return found.count, f"{found.wrong / max(1, found.count):.1%}", auc, f"{found.ece:.3f}", nce


def _write(
    path: Path | None, head: "CtcHead", figures: "Figures", calibration: "Calibration"
) -> None:
    if path is None:
        return
    document: dict[str, Any] = {
        "head": head.info.name,
        "method": calibration.method,
        "temperature": calibration.temperature,
        "figures": asdict(figures),
    }
    path.write_text(f"{json.dumps(document, ensure_ascii=False, indent=1)}\n", encoding="utf-8")
    say(f"wrote {path}")
