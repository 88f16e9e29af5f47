"""What each step adds to search across languages: raw means, projections, centering, margins."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from embedsvc.errors import FailedPrecondition
from embedsvc.evaluation.crossing import Crossing, Texts, cross
from embedsvc.evaluation.probes import folds
from embedsvc.evaluation.same_content import unit
from embedsvc.transforms import Sample, fit
from embedsvc.types import Floats, TransformRecipe

TRUE = "centered by language"
FITTED = "through a fitted transform"
_HALVES = 2


@dataclass(frozen=True)
class Stage:
    """A kind of vectors, what was done to them, and how well it finds."""

    vectors: str
    step: str
    crossing: Crossing

    @property
    def name(self) -> str:
        """Both in one."""
        return f"{self.vectors}, {self.step}" if self.step else self.vectors

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {"vectors": self.vectors, "step": self.step, **self.crossing.as_object()}


def stages(
    kinds: Mapping[str, Floats], centered: frozenset[str], languages: Texts, groups: Texts
) -> Iterator[Stage]:
    """Every kind of vectors (n, D) as it is; those to be `centered` both ways too.

    Vectors are brought to length 1 before they are compared.
    """
    for name, vectors in kinds.items():
        as_it_is = unit(vectors)
        yield Stage(name, "", cross(as_it_is, languages, groups))
        if name in centered:
            truly = by_language(as_it_is, languages)
            yield Stage(name, TRUE, cross(truly, languages, groups))
            fitted = by_transform(as_it_is, languages, groups)
            yield Stage(name, FITTED, cross(fitted, languages, groups))


def by_language(vectors: Floats, languages: Texts) -> Floats:
    """Vectors (n, D) less the mean of their language, of length 1.

    It is what nobody has who must be told the language, and takes the mean of what is searched: an
    upper bound.
    """
    result = np.empty_like(vectors)
    for language in np.unique(languages):
        mine = languages == language
        result[mine] = vectors[mine] - vectors[mine].mean(axis=0)
    return unit(result)


def by_transform(vectors: Floats, languages: Texts, groups: Texts) -> Floats:
    """Vectors (n, D) through the transform that a collection can be fitted with; of length 1.

    Half of the contents are what it is fitted on for the other half, so that no clip is centered
    by what it says itself. Where they are too few, vectors stay as they are.
    """
    result = np.empty_like(vectors)
    # A content of its own for each clip that says what no other does.
    alone = np.array([group or f"#{place}" for place, group in enumerate(groups)])
    for seen, unseen in folds(alone, _HALVES):
        sample = Sample(vectors[seen], languages[seen].tolist(), alone[seen].tolist())
        try:
            transform = fit(sample, TransformRecipe(language="language"))
        except FailedPrecondition:
            return vectors
        result[unseen] = transform(vectors[unseen])
    return result
