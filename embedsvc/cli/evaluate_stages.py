"""`embedsvc evaluate retrieval --stages`: what each step adds to search across languages.

The model runs in this process. Each kind of vectors stands beside chance and mean cepstra: raw
means, the model's projections, and those with each language's mean taken away.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from embedsvc import filters
from embedsvc.cli.output import emit, progress, say, table
from embedsvc.errors import InvalidArgument
from embedsvc.types import Floats, OutputSpec, Pooling, Windowing

if TYPE_CHECKING:
    from embedsvc.encoder import Encoder, Plan
    from embedsvc.evaluation.clips import Clips
    from embedsvc.evaluation.speech import Row
    from embedsvc.evaluation.stages import Stage

THREADS = 2
_SHOWN_FAILURES = 5


def run(chosen: argparse.Namespace, index: Path) -> int:
    """Read, pass through the encoder, and print what every step finds."""
    from embedsvc.evaluation.embedding import Subject, embed
    from embedsvc.evaluation.stages import stages
    from embedsvc.pipeline import loading

    if chosen.target is not None:
        raise InvalidArgument("`--stages` runs the model in this process, without a --target")
    rows = _rows(chosen, index)
    encoder = loading.load(chosen.model or "mini", projections=chosen.projections)
    pooling = None if chosen.pooling is None else Pooling(chosen.pooling)
    plan = encoder.plan(
        OutputSpec("", chosen.layer, pooling, chosen.projection, profile=chosen.profile),
        Windowing(),
    )
    subject = Subject(encoder, (plan.layer,), None, THREADS)
    with progress() as bar:
        task = bar.add_task("encoding", total=len(rows))
        passed = embed(subject, rows, lambda done, _: bar.update(task, completed=done))
    for line in passed.failed[:_SHOWN_FAILURES]:
        say(line)
    clips = passed.clips
    kinds = _kinds(encoder, plan, clips)
    groups = clips.column(lambda row: row.group)
    try:
        found = list(stages(kinds, frozenset(list(kinds)[2:]), clips.languages, groups))
    except ValueError as error:
        raise InvalidArgument(f"`INDEX.tsv` can not be asked across languages: {error}") from error
    _show(found, as_json=chosen.json)
    if chosen.figure is not None:
        _draw(found, chosen.figure)
    return 0


def _rows(chosen: argparse.Namespace, index: Path) -> "list[Row]":
    from embedsvc.evaluation.speech import read_table

    rows = [
        row
        for row in read_table(index, index.parent.name)
        if filters.matches(chosen.only, row.metadata)
    ]
    if not rows:
        raise InvalidArgument(f"`INDEX.tsv` must have rows that meet --only: {index}")
    return rows


def _kinds(encoder: "Encoder", plan: "Plan", clips: "Clips") -> Mapping[str, Floats]:
    """Vectors (n, d) by name: cepstra, raw means, what was chosen, then other projections."""
    import numpy as np

    from embedsvc.evaluation.same_content import standardized

    states = clips.states[:, 0]
    if plan.pooling is Pooling.MAX:
        raise InvalidArgument("`--pooling` must be mean or mean_std with --stages, but is max")
    pooled = states if plan.pooling is Pooling.MEAN_STD else states[:, : encoder.dim]
    own = "" if plan.projection is None else plan.projection.tag.partition(":")[0]
    name = f"layer {plan.layer}, {plan.pooling}"
    kinds = {
        "MFCC": standardized(clips.cepstra),
        f"layer {plan.layer}, raw mean": states[:, : encoder.dim],
        f"{name}, {own}" if own else name: _projected(plan.projection, pooled),
    }
    for (other, layer, pooling), projection in sorted(encoder.projections.each.items()):
        if (layer, pooling) == (plan.layer, plan.pooling) and other != own:
            kinds[f"{name}, {other}"] = _projected(projection, pooled)
    return {kind: np.asarray(vectors, np.float32) for kind, vectors in kinds.items()}


def _projected(projection: object, vectors: Floats) -> Floats:
    if projection is None:
        return vectors
    assert callable(projection)
    result: Floats = projection(vectors)
    return result


def _show(found: "Sequence[Stage]", *, as_json: bool) -> None:
    if as_json:
        for stage in found:
            emit({"measure": "stage", **stage.as_object()})
        return
    chance = found[0].crossing
    rows = []
    for stage in found:
        crossing, mean = stage.crossing, stage.crossing.mean
        together = crossing.together
        rows.append(
            (
                stage.name,
                *(f"{together.hits[depth]:.1%}" for depth in (1, 5, 10)),
                f"{together.mrr:.3f}",
                f"{crossing.by_margin:.1%}",
                f"{crossing.hubness:.1f}",
                *((f"{mean['r1']:.1%}", f"{mean['xsim_error']:.1%}") if mean else ("", "")),
            )
        )
    columns = (
        "vectors", "R@1>", "R@5>", "R@10>", "MRR>", "margin R@1>", "hubs>", "pairs R@1>", "xsim>",
    )  # fmt: skip
    title = (
        f"Among all other languages, {chance.together.queries:,} queries (chance R@1 "
        f"{chance.together.chance[1]:.2%}); mean of {len(chance.pairs)} pairs"
    )
    table(title, columns, rows)
    best = max(found, key=lambda stage: stage.crossing.together.hits[1])
    _show_pairs(best)


def _show_pairs(stage: "Stage") -> None:
    """Every pair of languages and direction of one kind of vectors."""
    rows = [
        (
            f"{a} in {b}",
            each.queries,
            *(f"{each.hits[depth]:.1%}" for depth in (1, 5, 10)),
            f"{each.mrr:.3f}",
            f"{each.xsim:.1%}",
            f"{each.chance[1]:.1%}",
        )
        for (a, b), each in sorted(
            stage.crossing.pairs.items(), key=lambda item: (-item[1].hits[1], item[0])
        )
    ]
    columns = ("asked in", "queries>", "R@1>", "R@5>", "R@10>", "MRR>", "xsim>", "chance>")
    if rows:
        table(f"Pairs of languages: {stage.name}", columns, rows)


def _draw(found: "Sequence[Stage]", path: Path) -> None:
    from embedsvc.evaluation.heat import heat_map

    best = max(found, key=lambda stage: stage.crossing.together.hits[1])
    shares = {pair: each.hits[1] for pair, each in best.crossing.pairs.items()}
    picture = heat_map(f"R@1, asked in (row) for (column): {best.name}", shares)
    path.write_text(picture + "\n", encoding="utf-8")
    say(f"wrote {path}")
