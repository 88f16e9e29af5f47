"""A recipe says what it wants by names that exist."""

from pathlib import Path

import pytest

from embedsvc.errors import InvalidArgument
from embedsvc.training.recipe import Recipe, read_recipe, shipped


def written(folder: Path, text: str) -> Path:
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


def test_what_is_not_said_is_as_usual(tmp_path: Path) -> None:
    recipe = read_recipe(written(tmp_path, "[schedule]\nsteps = 7\nrate = 1\n"))
    assert recipe.schedule.steps == 7
    assert recipe.model == Recipe().model


def test_values_can_be_changed_by_name(tmp_path: Path) -> None:
    path = written(tmp_path, "[schedule]\nsteps = 7\n")
    recipe = read_recipe(path, {"schedule.steps": "9", "schedule.optimizer": "adamw"})
    assert (recipe.schedule.steps, recipe.schedule.optimizer) == (9, "adamw")


def test_the_recipe_of_mini_can_be_read() -> None:
    recipe = read_recipe(shipped("mini"))
    assert recipe.model.config().hidden_size == recipe.model.hidden_size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[scheduel]\n", "scheduel"),
        ("[schedule]\nstep = 1\n", "step"),
        ('[schedule]\nsteps = "many"\n', "`schedule.steps` must be of type int"),
        ("[schedule]\nsteps = 0\n", "must be positive"),
        ("[model]\nheads = 5\n", "multiple of 5 heads"),
        ("[layers]\nphones = 9\n", "`layers.phones` must be from 1 to 6"),
        ('[schedule]\noptimizer = "sgd"\n', "must be one of muon, adamw"),
        ("not toml", "readable TOML"),
    ],
)
def test_a_wrong_recipe_is_told_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        read_recipe(written(tmp_path, text))
