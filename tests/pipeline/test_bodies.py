"""Which bodies are loaded for the heads that are wanted, and what is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load_file, save_file

from embedsvc.batching import MAIN
from embedsvc.encoder import Encoder, resolve, share_threads, threads
from embedsvc.encoder.ctc import load_heads
from embedsvc.encoder.waveform import WaveformEncoder
from embedsvc.errors import EmbedsvcError, FailedPrecondition, InvalidArgument, ModelNotFound
from embedsvc.pipeline.bodies import Bodies, Wanted, load_bodies, wanted
from embedsvc.pipeline.heads import Heads
from embedsvc.types import Ask
from tests.encoder.ctc.published import bert, of_languages, wave, write
from tests.encoder.ctc.test_loading import changed

THREADS = threads()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Models this small are faster on one thread, above all on a machine with other work."""
    share_threads(1, 1)
    yield
    share_threads(THREADS, 1)


@pytest.fixture(scope="module")
def mini() -> Encoder:
    return Encoder.load(resolve("mini"))


@pytest.fixture(scope="module")
def mms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return of_languages(tmp_path_factory.mktemp("bodies") / "mms")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(wave(), tmp_path_factory.mktemp("bodies") / "base")


def loaded(served: Encoder, **heads: Path | str) -> Bodies:
    asked = [wanted(name, str(text)) for name, text in heads.items()]
    return load_bodies(served, Heads(()), asked)


def bodies(found: Bodies) -> dict[str, str]:
    """The body of each head."""
    return {head.info.name: head.body.key for head in found.added}


def test_a_model_may_be_followed_by_languages() -> None:
    assert wanted("a", "owner/name@v1") == Wanted("a", "owner/name@v1")
    assert wanted("a", "owner/name:deu,azj-script_latin,deu") == Wanted(
        "a", "owner/name", ("deu", "azj-script_latin")
    )
    assert wanted("a", "/some:where/") == Wanted("a", "/some:where/")


def test_all_languages_of_a_model_share_one_body(mini: Encoder, mms: Path) -> None:
    found = loaded(mini, some=f"{mms}:spa", more=f"{mms}:eng,azj-script_latin")
    assert bodies(found).keys() == {"some-spa", "more-eng", "more-azj-script_latin"}
    (key,) = set(bodies(found).values())
    assert found.encoders.keys() == {MAIN, key}
    body = found.encoders[key]
    assert isinstance(body, WaveformEncoder)
    assert set(body.adapters) == {"spa", "eng", "azj-script_latin"}
    assert [info.name for info in found.heads.infos()] == sorted(bodies(found))


def test_without_languages_there_is_a_head_for_each(mini: Encoder, mms: Path) -> None:
    assert len(loaded(mini, mms=mms).added) == 3


def test_other_adapters_of_the_same_body_are_kept_apart(
    mini: Encoder, mms: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(mms, tmp_path / "copy")
    shutil.copy(copy / "adapter.azj-script_latin.safetensors", copy / "adapter.azj.safetensors")
    vocabulary = json.loads((copy / "vocab.json").read_text())
    vocabulary["azj"] = vocabulary["azj-script_latin"]
    (copy / "vocab.json").write_text(json.dumps(vocabulary))
    found = loaded(mini, one=f"{mms}:azj-script_latin", other=f"{copy}:azj")
    assert len(set(bodies(found).values())) == 2


def test_a_head_of_the_served_weights_needs_no_body_of_its_own(tmp_path: Path) -> None:
    served = resolve(str(write(bert(), tmp_path / "served")))
    copy = shutil.copytree(tmp_path / "served", tmp_path / "copy")
    encoder = Encoder.load(served)
    heads = Heads(load_heads(served))
    found = load_bodies(encoder, heads, [wanted("again", str(copy))])
    assert found.encoders == {MAIN: encoder}
    assert bodies(found) == {"again": MAIN}
    assert [info.name for info in found.heads.infos()] == ["again", "text"]


def test_bodies_can_be_timed_and_heard(
    mini: Encoder, mms: Path, base: Path, tmp_path: Path
) -> None:
    own = write(bert(add_adapter=True), tmp_path / "own")
    found = loaded(mini, base=base, mms=f"{mms}:spa", own=own)
    models = found.models()
    assert len(models) == 4
    for key, model in models.items():
        clip = model.sound(50)
        assert len(clip) == 50
        (answer,) = model.encode([clip], [Ask((model.layers,), keep=(0, 50))])
        assert np.isfinite(answer.frames[model.layers]).all()
        assert model.layers == found.encoders[key].layers
        assert model.cost.seconds([50]) > 0


def test_languages_of_a_model_without_adapters_are_what_it_writes(
    mini: Encoder, base: Path, tmp_path: Path
) -> None:
    (head,) = loaded(mini, english=f"{base}:en").added
    assert (head.info.name, head.info.languages, head.info.model) == ("english", ("eng",), "base")
    card = shutil.copytree(base, tmp_path / "card")
    (card / "README.md").write_text("---\nlanguage: sw\nlicense: apache-2.0\n---\n")
    assert loaded(mini, one=card).added[0].info.languages == ("swa",)
    assert loaded(mini, one=f"{card}:deu,fra").added[0].info.languages == ("deu", "fra")


def refused(served: Encoder, kind: type[EmbedsvcError], **heads: Path | str) -> str:
    with pytest.raises(kind) as caught:
        loaded(served, **heads)
    assert caught.value.field.startswith("model.heads.")
    return caught.value.message


def test_what_cannot_be_served_says_which_head_and_why(
    mini: Encoder, mms: Path, base: Path, tmp_path: Path
) -> None:
    assert "'gone' can not be served" in refused(mini, ModelNotFound, gone="/no/such/place")
    assert "eng, spa" in refused(mini, ModelNotFound, mms=f"{mms}:eng,fra")
    assert "'klingon'" in refused(mini, InvalidArgument, base=f"{base}:klingon")
    assert "again-phones" in bodies(loaded(mini, again="mini"))
    bare = changed(write(wave(), tmp_path / "bare"), architectures=["Wav2Vec2Model"])
    stripped(bare, "lm_head")
    assert "must have a CTC head" in refused(mini, FailedPrecondition, bare=bare)


def stripped(path: Path, prefix: str) -> None:
    """Take the tensors of a prefix away."""
    tensors = load_file(path / "model.safetensors")
    kept = {name: each for name, each in tensors.items() if not name.startswith(prefix)}
    save_file(kept, path / "model.safetensors")


@pytest.mark.parametrize(
    "changes",
    [
        {"conv_stride": [5, 2, 2, 2, 2, 2, 1]},
        {"conv_kernel": [10, 3, 3, 3, 3, 2, 4]},
    ],
    ids=["a frame every 10 ms", "frames of 65 ms"],
)
def test_frames_that_do_not_fit_the_windows_are_refused(
    mini: Encoder, tmp_path: Path, changes: dict[str, Any]
) -> None:
    odd = write(wave(**changes), tmp_path)
    assert "must have a frame every 320 samples" in refused(mini, FailedPrecondition, odd=odd)


def test_names_are_those_of_one_head_each(mini: Encoder, base: Path, mms: Path) -> None:
    taken = Heads(load_heads(resolve("mini")))
    with pytest.raises(InvalidArgument, match="'phones' is that of another head"):
        load_bodies(mini, taken, [wanted("phones", str(base))])
    with pytest.raises(InvalidArgument, match="'a-spa' is that of another"):
        load_bodies(mini, taken, [wanted("a-spa", str(base)), wanted("a", f"{mms}:spa")])
