"""The directory of a model that was trained: it loads, and says how it was made."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from embedsvc.encoder import Encoder, load_phone_head, resolve
from embedsvc.errors import FailedPrecondition
from embedsvc.training.build import build
from embedsvc.training.corpus import Corpus
from embedsvc.training.recipe import Output
from embedsvc.training.record import thinned
from embedsvc.training.state import Run
from embedsvc.types import OutputSpec, Windowing


@pytest.fixture(scope="module")
def model(trained: Path, sounds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("model")
    output = Output(layer=1, projection="content", dim=16, clips=60)
    build(Run(trained), Corpus.open(sounds), output, directory)
    build(Run(trained), Corpus.open(sounds), output, directory)  # over the older one
    return directory


def test_it_loads_with_its_defaults(model: Path) -> None:
    plan = Encoder.load(resolve(str(model)), threads=1).plan(OutputSpec(), Windowing())
    assert (plan.layer, plan.space.dim) == (1, 16)
    assert plan.space.projection.startswith("content:")


def test_it_has_profiles_of_what_its_layers_were_taught(model: Path) -> None:
    encoder = Encoder.load(resolve(str(model)), threads=1)
    assert set(encoder.profiles) == {"phonetic", "language", "speaker"}
    usual = encoder.plan(OutputSpec(), Windowing())
    assert encoder.plan(OutputSpec(profile="phonetic"), Windowing()) == usual


def test_its_head_knows_the_phones(model: Path) -> None:
    head = load_phone_head(resolve(str(model)))
    assert head is not None
    assert head.labels[0] == ""
    assert len(head.labels) == 5


def test_it_says_how_it_was_trained(model: Path) -> None:
    record = json.loads((model / "training.json").read_text())
    assert record["progress"]["step"] == record["recipe"]["schedule"]["steps"]
    assert record["languages"] == ["deu", "fra"]
    assert [each["step"] for each in record["validation"]] == [3, 6, 9]
    assert record["versions"].keys() >= {"torch", "embedsvc"}


def test_its_curves_are_a_picture(model: Path) -> None:
    picture = ET.parse(model / "training.svg").getroot()
    texts = [each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")]
    assert "phone error rate, texts kept back" in texts


def test_a_run_that_kept_nothing_makes_no_model(tmp_path: Path, sounds: Path) -> None:
    with pytest.raises(FailedPrecondition, match="must have kept a state"):
        build(Run(tmp_path), Corpus.open(sounds), Output(), tmp_path / "model")


def test_many_records_become_few_means() -> None:
    records = [{"kind": "losses", "step": step, "phones": float(step)} for step in range(1, 1001)]
    few = thinned(records)
    assert len(few) <= 120
    assert few[0] == {"step": 9, "phones": 5.0}
    assert few[-1]["step"] == 1000
