"""Voices of other synthesizers, so that a model does not learn the sound of one.

Each is used when it is installed: Festival and Flite by their commands, Open JTalk as the module
`pyopenjtalk`, RHVoice as a library. Their output is free to use: of RHVoice, only voices are here
whose makers say so.
"""

# ruff: noqa: RUF001  # typographic punctuation looks like other letters, and must

import csv
import importlib
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
from numpy.typing import NDArray

from embedsvc.training import rhvoice
from embedsvc.training.espeak import Espeak, Spoken
from embedsvc.training.reading import read
from embedsvc.training.rendering import AUDIBLE
from embedsvc.training.utterances import Utterance, tidy

FESTIVAL, FLITE, OPEN_JTALK, RHVOICE = "festival", "flite", "open-jtalk", "rhvoice"
UNTIMED = frozenset({OPEN_JTALK, RHVOICE})
"""Programs that do not tell when a phone begins: those of an utterance are only in order."""

MODULE = "pyopenjtalk"
VOICES = Path("/usr/share/festival/voices")
"""Where Debian puts the voices of Festival, in a folder for each language."""

READERS = {"Slt": "gmw/en-US", "Letícia-F123": "roa/pt-BR"}
"""Voices of espeak-ng with the accent of a voice of RHVoice, where it is not the first."""

USUAL_RATE = 190
"""Words a minute that stand for the voice's own speed."""

TIMEOUT_SECONDS = 300.0

_FUNCTIONS = """(define (say words name)
  (let ((utt (eval (list 'Utterance 'Text words))))
    (utt.synth utt)
    (utt.save.wave utt (string-append name ".wav"))
    (utt.save.segs utt (string-append name ".lab"))))
"""


@dataclass(frozen=True)
class Speaker:
    """A row of `speakers.tsv`: voice `name` of a program, for a language by ISO 639-3 code.

    `alphabet` is what `alphabets.tsv` calls its names of phones; "" when they are not known.
    """

    program: str
    name: str
    language: str
    encoding: str
    alphabet: str


@cache
def speakers() -> tuple[Speaker, ...]:
    """Every voice of `speakers.tsv`, in its order, installed or not."""
    return tuple(Speaker(**row) for row in _table("speakers.tsv"))


def version(speaker: Speaker) -> str:
    """Version of the program, "" when it or the voice is not installed."""
    if speaker.program == OPEN_JTALK:
        return _module_version()
    if speaker.program == RHVOICE:
        engine = rhvoice.engine()
        return engine.version if engine and speaker.name in engine.voices else ""
    if shutil.which(speaker.program) is None:
        return ""
    if speaker.program == FLITE:
        voices, text = _output("flite", "-lv"), _output("flite", "--version")
        return _number(text) if speaker.name in voices.split() else ""
    found = any(VOICES.glob(f"*/{speaker.name}"))
    return _number(_output("festival", "--version")) if found else ""


def speak(speaker: Speaker, utterances: Sequence[Utterance]) -> Iterator[Spoken | None]:
    """What a voice says for each utterance, with phones in IPA; None for what it cannot say.

    Rate and pitch of the utterance's voice make it faster or slower, and higher or lower.
    """
    texts = [_sayable(utterance.text, speaker.encoding) for utterance in utterances]
    if speaker.program in UNTIMED:
        one = _by_open_jtalk if speaker.program == OPEN_JTALK else _by_rhvoice
        for text, utterance in zip(texts, utterances, strict=True):
            yield one(speaker, text, utterance) if text else None
        return
    with TemporaryDirectory() as folder:
        by = _by_festival if speaker.program == FESTIVAL else _by_flite
        by(speaker, texts, utterances, Path(folder))
        for number, utterance in enumerate(utterances):
            yield _read(speaker, Path(folder) / str(number), utterance)


@cache
def _table(name: str) -> tuple[dict[str, str], ...]:
    table = resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
    rows = csv.DictReader(table.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return tuple(rows)


@cache
def _alphabet(name: str) -> dict[str, str]:
    rows = _table("alphabets.tsv")
    return {row["name"]: row["ipa"] for row in rows if row["alphabet"] == name}


@cache
def _module_version() -> str:
    try:
        return str(importlib.import_module(MODULE).__version__)
    except ImportError:
        return ""


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _number(text: str) -> str:
    found = re.search(r"\d+\.[\d.]+", text)
    return found.group() if found else "?"


def _sayable(text: str, encoding: str) -> str:
    """Text without what breaks a script, "" when the voice has not all its letters."""
    plain = tidy(text).replace("\\", " ").replace("’", "'").replace("–", "-").replace("—", "-")
    try:
        plain.encode(encoding)
    except UnicodeEncodeError:
        return ""
    return plain


def _stretch(utterance: Utterance) -> float:
    """How much longer than usual everything takes."""
    return USUAL_RATE / utterance.voice.rate


def _pitch_factor(utterance: Utterance) -> float:
    """From 0.88 to 1.12; all is played that much faster, so it lasts as much shorter."""
    return 0.88 + 0.24 * utterance.voice.pitch / 99


def _by_festival(
    speaker: Speaker, texts: Sequence[str], utterances: Sequence[Utterance], folder: Path
) -> None:
    lines = [_FUNCTIONS, f"(voice_{speaker.name})"]
    for number, (text, utterance) in enumerate(zip(texts, utterances, strict=True)):
        if text:
            lines.append(f"(Parameter.set 'Duration_Stretch {_stretch(utterance):.3f})")
            lines.append(f'(unwind-protect (say "{text}" "{number}") nil)')
    script = folder / "script.scm"
    script.write_bytes("\n".join(lines).encode(speaker.encoding))
    _run(["festival", "-b", script.name], folder)


def _by_flite(
    speaker: Speaker, texts: Sequence[str], utterances: Sequence[Utterance], folder: Path
) -> None:
    for number, (text, utterance) in enumerate(zip(texts, utterances, strict=True)):
        if not text:
            continue
        stretch = f"duration_stretch={_stretch(utterance):.3f}"
        command = ["flite", "-voice", speaker.name, "--setf", stretch, "-psdur", "-t", f" {text}"]
        said = _run([*command, "-o", f"{number}.wav"], folder)
        pairs = (each.rsplit(":", 1) for each in said.split() if ":" in each)
        lines = [f"{end} 0 {name}" for name, end in pairs]
        (folder / f"{number}.lab").write_text("\n".join(["#", *lines]), encoding="ascii")


def _by_open_jtalk(speaker: Speaker, text: str, utterance: Utterance) -> Spoken | None:
    module = importlib.import_module(MODULE)
    wave, rate = module.tts(text, speed=1 / _stretch(utterance))
    samples = np.clip(wave, -(2**15), 2**15 - 1).astype(np.int16)
    phones = _in_ipa(speaker, _in_order(samples, module.g2p(text).split()))
    return Spoken(samples, round(rate * _pitch_factor(utterance)), phones)


def _by_rhvoice(speaker: Speaker, text: str, utterance: Utterance) -> Spoken | None:
    engine = rhvoice.engine()
    if engine is None or speaker.name not in engine.voices:
        return None
    speed, pitch = 1 / _stretch(utterance), _pitch_factor(utterance)
    samples, rate = engine.speak(text, speaker.name, speed, pitch)
    if not len(samples):
        return None
    phones = read(Espeak(), speaker.language, text, READERS.get(speaker.name, ""))
    return Spoken(samples, rate, _in_order(samples, phones))


def _in_order(samples: NDArray[np.int16], names: Sequence[str]) -> tuple[tuple[int, str], ...]:
    """Names evenly over what is heard: one that began in silence would be cut away with it."""
    loud = np.flatnonzero(np.abs(samples.astype(np.float32)) > AUDIBLE * 2**15)
    if not len(loud):
        return ()
    first, last = int(loud[0]), int(loud[-1])
    return tuple(
        (first + (last - first) * number // len(names), name) for number, name in enumerate(names)
    )


def _run(command: Sequence[str], folder: Path) -> str:
    """Output of a command, "" when it takes too long; what it wrote until then remains."""
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=TIMEOUT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.decode(errors="replace")


def _read(speaker: Speaker, stem: Path, utterance: Utterance) -> Spoken | None:
    """What a program wrote as STEM.wav and STEM.lab."""
    sound, segments = stem.with_suffix(".wav"), stem.with_suffix(".lab")
    if not sound.is_file() or not segments.is_file():
        return None
    samples, rate = soundfile.read(sound, dtype="int16")
    names, begin = [], 0
    for line in segments.read_text(encoding="utf-8", errors="replace").splitlines():
        columns = line.split()
        if len(columns) == 3:
            names.append((begin, columns[2]))
            begin = round(float(columns[0]) * rate)
    return Spoken(samples, round(rate * _pitch_factor(utterance)), _in_ipa(speaker, names))


def _in_ipa(speaker: Speaker, names: Sequence[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    """Named segments in IPA; none when one of them is not in the voice's alphabet."""
    known = _alphabet(speaker.alphabet)
    if any(name not in known for _, name in names):
        return ()
    return tuple((begin, known[name]) for begin, name in names)
