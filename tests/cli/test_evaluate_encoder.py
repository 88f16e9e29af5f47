import json
from pathlib import Path

import pytest

from embedsvc.samples import clips
from tests.cli.program import Program

COLUMNS = ("path", "split", "language", "speaker", "label", "transcript", "seconds", "group")


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    """One set, of English and Spanish."""
    folder = tmp_path / "speech" / "gcompris_voices"
    folder.mkdir(parents=True)
    lines = ["\t".join(COLUMNS)]
    for clip in clips():
        if clip.language in {"eng", "spa", "deu", "por"}:
            cells = (
                str(clip.path),
                "dev",
                clip.language,
                clip.voice,
                "",
                "",
                clip.seconds,
                clip.group,
            )
            lines.append("\t".join(map(str, cells)))
    (folder / "index.tsv").write_text("\n".join(lines) + "\n")
    return folder.parent


def test_figures_are_shown_and_written(main: Program, speech: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("all.json", "card.md", "curves.svg")]
    ended = main(
        "evaluate", "encoder", "--speech", speech, "--only", "content", "emotion", "--threads", "1",
        "--json", files[0], "--card", files[1], "--figure", files[2],
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "GCompris, other" in ended.stdout
    assert "skipped emotion: none of the clips" in ended.stderr
    document = json.loads(files[0].read_text())
    assert document["about"]["model"] == "mini"
    assert len(document["about"]["weights"]) == 64
    assert document["about"]["versions"]["scikit-learn"]
    figures = document["tasks"]["same content"]["GCompris, other language"]
    assert 0 <= figures["R@1"]["headline"]["value"] <= figures["R@10"]["headline"]["value"] <= 1
    assert "GCompris, other language" in files[1].read_text()
    assert files[2].read_text().startswith("<svg")


def test_a_share_takes_fewer_clips(main: Program, speech: Path, tmp_path: Path) -> None:
    path = tmp_path / "all.json"
    asked = ("--speech", speech, "--only", "content", "--share", "0.3", "--json", path)
    assert main("evaluate", "encoder", *asked).returncode == 0
    index = (speech / "gcompris_voices" / "index.tsv").read_text()
    assert 0 < json.loads(path.read_text())["clips"] < index.count("\n") / 2


def test_an_exported_model_is_measured_by_the_layers_it_has(
    main: Program, speech: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    exported, path = tmp_path / "exported", tmp_path / "all.json"
    made = main("models", "export", "mini", "--layers", "2,6", "--out", exported)
    assert made.returncode == 0, made.stderr
    asked = ("--speech", speech, "--only", "phones", "content", "--json", path)
    ended = main(
        "evaluate",
        "encoder",
        "--model",
        exported,
        "--runtime",
        "onnxruntime",
        *asked,
        "--threads",
        "1",
    )
    assert ended.returncode == 0, ended.stderr
    assert "skipped phones: the model has no phone head" in ended.stderr
    document = json.loads(path.read_text())
    assert document["about"]["runtime"] == "onnxruntime"
    figure = document["tasks"]["same content"]["GCompris, other language"]["R@1"]
    assert {"layer 2", "layer 6"} <= figure["values"].keys()
    assert "layer 5" not in figure["values"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ((), "--speech"),
        (("--speech", "/nowhere"), "sets with an index.tsv"),
        (("--speech", "x", "--share", "0"), "above 0"),
        (("--speech", "x", "--only", "smell"), "invalid choice"),
    ],
)
def test_what_cannot_be_done_is_said(main: Program, flags: tuple[str, ...], told: str) -> None:
    ended = main("evaluate", "encoder", *flags)
    assert ended.returncode in {1, 2}
    assert told in ended.stderr


def test_the_tasks_of_the_command_are_those_there_are() -> None:
    from embedsvc.cli import evaluate_encoder
    from embedsvc.evaluation import encoder_tasks

    assert evaluate_encoder.TASKS == encoder_tasks.TASKS
