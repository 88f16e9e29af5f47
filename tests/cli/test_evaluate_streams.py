"""`embedsvc evaluate streams`: errors of live transcription beside those of a recording."""

import json
from pathlib import Path

from embedsvc.samples import clips
from tests.cli.program import Program
from tests.evaluation.sets import write_set


def test_ways_are_put_beside_a_recording(main: Program, tmp_path: Path) -> None:
    heard = [
        {
            "path": str(clip.path),
            "split": "dev",
            "language": clip.language,
            "speaker": clip.voice,
            "group": clip.group,
            "seconds": f"{clip.seconds:g}",
            "phones": "a n a t i s o",
        }
        for clip in [clip for clip in clips() if clip.language == "spa"][:2]
    ]
    write_set(tmp_path, heard)
    out = tmp_path / "out.json"
    asked = ("--interval", "1", "--lookahead", "0.4", "--threads", 1, "--json", out)
    ended = main("evaluate", "streams", tmp_path, *asked)
    assert ended.returncode == 0, ended.stderr
    recording, recompute, lookahead = json.loads(out.read_text("utf-8"))["ways"]
    assert recording["frames"] < 1.5 < recompute["frames"] < lookahead["frames"]
    assert recording["stable"] == lookahead["changed"] == 0
    assert recompute["stable"] > 0
    assert {each["errors"]["said"] for each in (recording, recompute, lookahead)} == {14}
    ended = main("evaluate", "streams", tmp_path, "--only", 'split = "none"')
    assert ended.returncode == 1
    assert "text is known" in ended.stderr
