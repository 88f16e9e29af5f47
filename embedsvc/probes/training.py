"""Training a probe: chosen, tested on groups it has not met, then fitted on everything."""

import time
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from embedsvc.errors import InvalidArgument, TensorShape
from embedsvc.probes.assembling import ISOTONIC, TEMPERATURE
from embedsvc.probes.examples import Examples
from embedsvc.probes.examples import target as target_of
from embedsvc.probes.numbers import LARGEST
from embedsvc.probes.probe import Probe
from embedsvc.probes.progress import Tell
from embedsvc.probes.session import Session
from embedsvc.probes.storing import MOST_NAME, MOST_TEXT
from embedsvc.types import Floats, ProbeRecipe

MOST_STRENGTHS = 20


def train(
    name: str,
    version: int,
    examples: Examples,
    recipe: ProbeRecipe,
    *,
    background: Floats | None,
    license: str = "",
    about: str = "",
    tell: Tell,
) -> Probe:
    """The probe that `recipe` makes of `examples`; the same again gives the same digest.

    `background` (m, D) are vectors of what is not speech. Nothing is fitted on them: they tell
    how much of it the probe refuses. `tell(done, total, what)` is called at every look at the
    examples, and may raise to end the training. Raises InvalidArgument for what cannot be learned
    or tested, TensorShape for vectors that do not fit.
    """
    _check_recipe(recipe)
    _check_texts(name=(name, MOST_NAME), license=(license, MOST_TEXT), about=(about, MOST_TEXT))
    target = target_of(examples, recipe.task)
    _check_spaces(recipe, examples, background)
    # One thread: training is never urgent, serving is, and sums come out the same everywhere.
    with threadpool_limits(1, user_api="blas"):
        probe, figures, report = Session(examples, target, recipe, background, tell).run()
    info = replace(
        probe.info,
        name=name,
        version=version,
        created_at=time.time(),
        figures=figures,
        report=report,
        license=license,
        about=about,
    )
    return Probe(info, probe.numbers)


def _check_recipe(recipe: ProbeRecipe) -> None:
    methods = (TEMPERATURE, ISOTONIC)
    ranges = {
        "folds": (2, 20),
        "alpha": (0.001, 0.5),
        "false_unknowns": (0, 0.5),
        "min_speech_seconds": (0, 3600),
        "test_share": (0.05, 0.5),
        "seed": (0, 1 << 62),
    }
    for name, (low, high) in ranges.items():
        value = getattr(recipe, name)
        if not low <= value <= high:
            raise InvalidArgument(f"`{name}` must be {low} to {high}, but is {value}", field=name)
    sound = all(1e-9 <= each <= 1e9 for each in recipe.strengths)
    if not sound or not 1 <= len(recipe.strengths) <= MOST_STRENGTHS:
        raise InvalidArgument(
            f"`strengths` must be 1 to {MOST_STRENGTHS} numbers from 1e-9 to 1e9, "
            f"but are {recipe.strengths}",
            field="strengths",
        )
    if recipe.calibration not in methods:
        raise InvalidArgument(
            f"`calibration` must be {' or '.join(methods)}, but is {recipe.calibration!r}",
            field="calibration",
        )


def _check_texts(**texts: tuple[str, int]) -> None:
    for name, (text, most) in texts.items():
        if len(text) > most:
            raise InvalidArgument(
                f"`{name}` must be at most {most} characters, but has {len(text)}", field=name
            )


def _check_spaces(recipe: ProbeRecipe, examples: Examples, background: Floats | None) -> None:
    widths = sorted({space.dim for space in examples.spaces})
    if recipe.mix_layers and len(widths) > 1:
        raise InvalidArgument(
            f"`mix_layers` must be of spaces with equal dimensions, but they have {widths}",
            field="mix_layers",
        )
    if background is None:
        return
    width = examples.vectors.shape[-1]
    if background.ndim != 2 or background.shape[1] != width:
        raise TensorShape(
            f"`background` must be [m, {width}], but is {list(background.shape)}",
            field="background",
        )
    if not (np.abs(background) <= LARGEST).all():  # NaN is not
        raise TensorShape(
            f"`background` must be finite, of at most {LARGEST:g}, but is not", field="background"
        )
