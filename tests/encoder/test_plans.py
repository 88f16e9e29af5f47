"""From a space back to how its vectors are made."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedsvc.encoder import Encoder, resolve
from embedsvc.errors import SpaceMismatch
from embedsvc.timing import SAMPLE_RATE
from embedsvc.types import OutputSpec, Pooling, Windowing

MINI = Encoder.load(resolve("mini"))


@given(
    layer=st.integers(0, MINI.layers),
    pooling=st.sampled_from(Pooling),
    projection=st.sampled_from([None, ""]),
    normalize=st.sampled_from([None, True, False]),
    seconds=st.integers(1, 60),
)
def test_every_space_of_a_model_leads_back_to_its_plan(
    layer: int, pooling: Pooling, projection: str | None, normalize: bool | None, seconds: int
) -> None:
    windowing = Windowing(seconds * SAMPLE_RATE, SAMPLE_RATE)
    plan = MINI.plan(OutputSpec("", layer, pooling, projection, normalize), windowing)
    assert MINI.plan_of(plan.space) == plan


def test_the_models_own_space_has_a_projection_and_is_found() -> None:
    plan = MINI.plan(OutputSpec(), Windowing())
    assert plan.space.projection
    assert MINI.plan_of(plan.space).projection is plan.projection
    assert MINI.plan_of(replace(plan.space, model="other name")) == plan


@pytest.mark.parametrize(
    "changes",
    [
        {"weights": "0" * 64, "fingerprint": "0" * 32},
        {"fingerprint": "0" * 32},
        {"layer": 99},
        {"layer": -1},
        {"projection": "nobody:000"},
        {"projection": "whitened:000", "fingerprint": "0" * 32},
        {"pooling": Pooling.NONE},
        {"pooling": Pooling.MAX},
        {"normalized": False},
        {"windowing": Windowing(1, 1)},
    ],
)
def test_a_space_of_another_model_is_refused_with_both_fingerprints(
    changes: dict[str, object],
) -> None:
    space = MINI.plan(OutputSpec(), Windowing()).space
    with pytest.raises(SpaceMismatch, match="must be a space of the model mini") as error:
        MINI.plan_of(replace(space, **changes), "probes[0]")  # type: ignore[arg-type]  # any field
    assert error.value.field == "probes[0]"
    assert error.value.facts["wanted_fingerprint"] == changes.get("fingerprint", space.fingerprint)
    assert "made_fingerprint" in error.value.facts
