"""`embedsvc transcribe`, for people and for programs."""

import json
import time
from pathlib import Path

import soundfile

from embedsvc.testing import serving
from tests.cli.program import Program, objects


def test_phones_are_shown_with_times_and_confidence(
    main: Program, target: str, folder: Path
) -> None:
    ended = main("transcribe", folder / "a.wav", "--target", target)
    assert ended.returncode == 0, ended.stderr
    head, line, *_ = ended.stdout.splitlines()
    assert head.startswith("a.wav: ")
    assert "phones by head 'phones'" in head
    assert " s " in line
    assert "% " in line
    full = main("transcribe", folder / "a.wav", "--words", "--beam", 4, "--target", target)
    assert full.returncode == 0, full.stderr
    assert "confidence" in full.stdout
    assert len(full.stdout.splitlines()) > 20


def test_programs_read_a_file_a_line(main: Program, target: str, mixed: Path) -> None:
    files = sorted(mixed.iterdir())
    asked = (*files, "--json", "--beam", 4, "--texts", 2, "--target", target)
    ended = main("transcribe", *asked)
    assert ended.returncode == 1
    assert "empty.wav" in ended.stderr
    assert "noise.flac" in ended.stderr
    found = objects(ended)
    assert [Path(each["path"]).name for each in found] == ["a.wav", "b.wav"]
    for each in found:
        assert each["head"] == "phones"
        for segment in each["segments"]:
            assert 0 <= segment["start_seconds"] < segment["end_seconds"] <= each["seconds"]
            assert segment["text"] == " ".join(word["text"] for word in segment["words"])
            assert len(segment["alternatives"]) == 1
            assert all(token["log_prob"] <= 0 for token in segment["words"][0]["tokens"])


def test_hot_words_bring_a_beam(main: Program, target: str, folder: Path) -> None:
    ended = main("transcribe", folder / "a.wav", "--hot-word", "d a", "--target", target)
    assert ended.returncode == 0, ended.stderr
    ended = main("transcribe", folder / "a.wav", "--hot-word", "7", "--target", target)
    assert ended.returncode == 1
    assert "no '7'" in ended.stderr


def test_a_head_that_is_none_is_told(main: Program, target: str, folder: Path) -> None:
    ended = main("transcribe", folder / "a.wav", "--head", "latin", "--target", target)
    assert ended.returncode == 1
    assert "phones, but is 'latin'" in ended.stderr


def test_a_file_is_replayed_as_if_it_were_spoken(main: Program, target: str, folder: Path) -> None:
    asked = ("transcribe", folder / "a.wav", "--stream", "--pace", 4, "--target", target)
    ended = main(*asked)
    assert ended.returncode == 0, ended.stderr
    assert " s  " in ended.stdout.splitlines()[0]
    started = time.monotonic()
    told = objects(main(*asked, "--json"))
    assert time.monotonic() - started > soundfile.info(folder / "a.wav").duration / 4
    finals = [each["text"] for each in told if each.get("final")]
    assert " ".join(" ".join(finals).split()) in " ".join(ended.stdout.split())
    assert any(each.get("stable") for each in told)


def test_all_that_is_told_of_a_replay_is_for_programs(
    main: Program, target: str, folder: Path
) -> None:
    asked = ("--stream", "--pace", 20, "--mode", "lookahead", "--lookahead", 0.2, "--json")
    told = objects(main("transcribe", folder / "a.wav", *asked, "--target", target))
    assert [each["event"] for each in told if "event" in each] == ["began", "ended"]
    assert told[-1]["end"]["head"] == "phones"
    interim = next(each for each in told if each.get("stable"))
    assert interim["stable"] == " ".join(word["text"] for word in interim["words"])
    final = next(each for each in told if each.get("final"))
    assert final["segments"][0]["words"][0]["tokens"]


def test_what_cannot_be_replayed_is_told(main: Program, target: str, mixed: Path) -> None:
    asked = ("transcribe", *sorted(mixed.glob("*e*")), "nowhere.wav", "--stream", "--pace", 50)
    ended = main(*asked, "--target", target)
    assert ended.returncode == 1
    for name in ("empty.wav", "noise.flac", "nowhere.wav"):
        assert name in ended.stderr


def test_a_batch_says_the_same_as_one_by_one(
    main: Program, target: str, mixed: Path, tmp_path: Path
) -> None:
    files = sorted(mixed.iterdir())
    one_by_one = main("transcribe", *files, "--json", "--target", target)
    ended = main("transcribe", "--batch", *files, "--json", "--target", target)
    assert ended.returncode == 1
    assert "empty.wav" in ended.stderr
    assert "noise.flac" in ended.stderr
    assert objects(ended) == objects(one_by_one)


def test_results_are_kept_in_a_folder_under_names_of_their_own(
    main: Program, target: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out"
    files = (folder / "a.wav", folder / "b.wav", folder / "a.wav")
    ended = main("transcribe", "--batch", *files, "--out", out, "--target", target)
    assert ended.returncode == 0, ended.stderr
    assert not ended.stdout
    kept = {path.name: json.loads(path.read_text("utf-8")) for path in out.iterdir()}
    assert sorted(kept) == ["a.wav-2.json", "a.wav.json", "b.wav.json"]
    assert kept["a.wav.json"]["text"] == kept["a.wav-2.json"]["text"] != kept["b.wav.json"]["text"]
    assert kept["b.wav.json"]["segments"]


def test_weights_of_a_language_model_need_one(main: Program, target: str, folder: Path) -> None:
    asked = ("transcribe", folder / "a.wav", "--beam", 4, "--target", target)
    ended = main(*asked, "--lm-weight", 0.5)
    assert ended.returncode == 1
    assert "options.lm_weight" in ended.stderr
    assert "has none" in ended.stderr
    ended = main(*asked, "--no-language-model")
    assert ended.returncode == 0, ended.stderr


def test_words_of_a_list_are_shown_as_words(main: Program, tmp_path: Path, folder: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("first\tə\nsecond\tn\n", encoding="utf-8")
    with serving({"model": {"language_models": {"phones": str(words)}}}) as target:
        ended = main("transcribe", folder / "a.wav", "--beam", 8, "--target", target)
    assert ended.returncode == 0, ended.stderr
    assert "words by head 'phones'" in ended.stdout
    assert {"first", "second"} & {*ended.stdout.split()}
