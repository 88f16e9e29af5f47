"""What a probe was measured to do, as tables for people."""

from collections.abc import Iterator, Sequence

from embedsvc.evaluation import answers
from embedsvc.evaluation.answers import Answers
from embedsvc.evaluation.cross_corpus import Crossing
from embedsvc.evaluation.probing import Outcome

Table = tuple[str, Sequence[str], Sequence[Sequence[object]]]

_COLUMNS = (
    "clips", "clips>", "chance>", "majority>", "MFCC>", "accuracy>", "UA>", "macro-F1>", "among>",
)  # fmt: skip
_TRUST = (
    "clips", "ECE before>", "ECE>", "coverage>", "set>", "unknown>", "right if answered>",
)  # fmt: skip


def tables(outcome: Outcome, most_labels: int) -> Iterator[Table]:
    """Tables with their titles and columns; one of labels if there are at most `most_labels`."""
    whole = outcome.whole
    groups = [*outcome.sets.items(), *([("all", whole)] if len(outcome.sets) > 1 else [])]
    named = [(name, answers.figures(each)) for name, each in groups]
    named = [(name, found) for name, found in named if found]
    lengths = list(answers.by_length(whole))
    if named:
        yield f"{outcome.name}: how often it is right", _COLUMNS, _right(named + lengths)
        yield "Does it know?", _TRUST, _trust(named + lengths)
        yield "The surest clips", ("share>", "clips>", "accuracy>"), _selective(whole)
    rows = list(answers.by_label(whole))
    if 0 < len(rows) <= most_labels:
        columns = ("label", "clips>", "recall>", "precision>", "answered>")
        yield "Labels", columns, [_label(row) for row in rows]
    if len(whole.left_out):
        yield "Labels it does not have", ("label", "clips>", "unknown>"), _left_out(whole)
    if outcome.strange:
        yield "What is not speech", ("kind", "clips>", "unknown>"), _strange(outcome)


def crossed(found: Sequence[Crossing]) -> Table:
    """Every corpus after learning on others."""
    rows = [
        (
            each.learned,
            each.asked,
            each.clips,
            each.labels,
            _percent(each.chance),
            _percent(each.mfcc_unweighted_accuracy),
            _percent(each.unweighted_accuracy),
            _percent(each.macro_f1),
        )
        for each in found
    ]
    columns = (
        "learned on", "asked about", "clips>", "labels>", "chance>", "MFCC UA>", "UA>", "macro-F1>",
    )  # fmt: skip
    return "From corpus to corpus", columns, rows


def _right(named: Sequence[tuple[str, dict[str, float]]]) -> list[Sequence[object]]:
    return [
        (
            name,
            int(found["clips"]),
            _percent(found["chance"]),
            _percent(found["majority"]),
            _percent(found["mfcc_accuracy"]) if "mfcc_accuracy" in found else "",
            _percent(found["accuracy"]),
            _percent(found["unweighted_accuracy"]),
            _percent(found["macro_f1"]),
            f"{_percent(found['accuracy_among_present'])} of {int(found['labels_present'])}",
        )
        for name, found in named
    ]


def _trust(named: Sequence[tuple[str, dict[str, float]]]) -> list[Sequence[object]]:
    return [
        (
            name,
            f"{found['ece_before']:.3f}" if "ece_before" in found else "",
            f"{found['ece']:.3f}",
            f"{_percent(found['coverage'])} for {_percent(found['coverage_target'])}",
            f"{found['mean_set']:.1f}",
            _percent(found["false_unknowns"]),
            _percent(found["accuracy_answered"]) if "accuracy_answered" in found else "",
        )
        for name, found in named
    ]


def _selective(whole: Answers) -> list[Sequence[object]]:
    return [
        (_percent(each["share"]), int(each["clips"]), _percent(each["accuracy"]))
        for each in answers.selective(whole)
    ]


def _label(row: dict[str, float | str]) -> Sequence[object]:
    clips = float(row["clips"])
    return (
        row["label"],
        int(clips),
        _percent(float(row["recall"])),
        _percent(float(row["precision"])),
        _percent(float(row["answered"]) / clips),
    )


def _left_out(whole: Answers) -> list[Sequence[object]]:
    left = whole.left_out
    rows: list[Sequence[object]] = []
    for label in sorted(set(left.truth.tolist())):
        mine = left.answered[left.truth == label]
        rows.append((label, len(mine), _percent(1 - float(mine.mean()))))
    return rows


def _strange(outcome: Outcome) -> list[Sequence[object]]:
    return [(kind, count, _percent(share)) for kind, (share, count) in outcome.strange.items()]


def _percent(share: float) -> str:
    return f"{share:.1%}"
