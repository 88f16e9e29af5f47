"""Sounds that are not speech, made of arithmetic: what a probe should answer nothing for.

`sounds` are to train with, `other_sounds` to test with: no kind of the one is among the other, so
that what is told of the second is not what was learned of the first.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.fft import next_fast_len

from embedsvc.types import Floats

Doubles = NDArray[np.float64]
Chance = np.random.Generator

RATE = 16_000
SHORTEST_SECONDS, LONGEST_SECONDS = 1.0, 8.0
QUIETEST, LOUDEST = 0.03, 0.9
"""Of the highest peaks."""

CLIPS_OF_A_KIND = 14
_SEMITONE = 2 ** (1 / 12)
_SCALE = np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16])
"""Steps of a major scale, in semitones."""


def sounds(seed: int) -> Iterator[tuple[str, Floats]]:
    """About 200 clips at 16 kHz, each with its kind; those of a kind follow each other."""
    yield from _clips(_KINDS, seed)


def other_sounds(seed: int) -> Iterator[tuple[str, Floats]]:
    """As many of kinds that `sounds` has not."""
    yield from _clips(_OTHER_KINDS, seed)


_Make = Callable[[Chance, int], Doubles]
"""Samples (n,) of any height, from chance and n."""


def _clips(kinds: Mapping[str, _Make], seed: int) -> Iterator[tuple[str, Floats]]:
    for place, (kind, make) in enumerate(kinds.items()):
        chance = np.random.default_rng((seed, place))
        for _ in range(CLIPS_OF_A_KIND):
            seconds = chance.uniform(SHORTEST_SECONDS, LONGEST_SECONDS)
            wave = make(chance, int(seconds * RATE))
            yield kind, _at_level(wave, kind, chance)


def _at_level(wave: Doubles, kind: str, chance: Chance) -> Floats:
    if kind == "near silence":
        return wave.astype(np.float32)
    peak = np.exp(chance.uniform(np.log(QUIETEST), np.log(LOUDEST)))
    scaled: Floats = (wave * (peak / max(np.abs(wave).max(), 1e-9))).astype(np.float32)
    return scaled


def _times(count: int) -> Doubles:
    times: Doubles = np.arange(count) / RATE
    return times


def _noise(
    chance: Chance, count: int, slope: float, low: float = 20, high: float = 8000
) -> Doubles:
    """Noise between two frequencies whose power falls with frequency to the power of `slope`."""
    length = next_fast_len(count, real=True)
    bins = np.fft.rfftfreq(length, 1 / RATE)
    inside = (bins >= low) & (bins <= high)
    height = np.where(inside, np.maximum(bins, low) ** (-slope / 2), 0)
    phases = chance.normal(size=len(bins)) + 1j * chance.normal(size=len(bins))
    return np.fft.irfft(height * phases, length)[:count]


def _band(chance: Chance, count: int) -> Doubles:
    low = np.exp(chance.uniform(np.log(60), np.log(4000)))
    return _noise(chance, count, 0, low, low * chance.uniform(1.2, 3))


def _harmonics(pitch: Doubles | float, count: int, heights: Doubles) -> Doubles:
    """A tone of `pitch` in Hz and its overtones below half the sample rate."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(pitch, count)) / RATE
    top = float(np.max(pitch))
    waves = [h * np.sin(n * phase) for n, h in enumerate(heights, 1) if n * top < RATE / 2]
    return np.sum(waves, axis=0) if waves else np.zeros(count)


def _heights(chance: Chance) -> Doubles:
    """How loud the overtones of an instrument are."""
    count = int(chance.integers(1, 16))
    fall = np.arange(1, count + 1) ** -chance.uniform(0.3, 2.5)
    heights: Doubles = fall * chance.uniform(0.2, 1, count)
    return heights


def _pitch(chance: Chance, low: float = 60, high: float = 2000) -> float:
    return float(np.exp(chance.uniform(np.log(low), np.log(high))))


def _hum(chance: Chance, count: int) -> Doubles:
    mains = chance.choice([50.0, 60.0])
    heights = chance.uniform(0, 1, 12) / np.arange(1, 13)
    return _harmonics(mains, count, heights) + 0.02 * _noise(chance, count, 1)


def _tone(chance: Chance, count: int) -> Doubles:
    return np.sin(2 * np.pi * _pitch(chance, 100, 6000) * _times(count))


def _sweep(chance: Chance, count: int) -> Doubles:
    ends = np.log(chance.uniform(80, 6000, 2))
    turns = int(chance.integers(1, 6))
    place = np.abs((np.linspace(0, turns, count) + 1) % 2 - 1)
    return _harmonics(np.exp(ends[0] + (ends[1] - ends[0]) * place), count, np.ones(1))


def _faded(chance: Chance, wave: Doubles) -> Doubles:
    """Struck and dying away, or blown and even."""
    times = _times(len(wave))
    fall = np.exp(-times * chance.uniform(0.5, 8))
    rise = np.minimum(1, times / chance.uniform(0.002, 0.08))
    result: Doubles = wave * fall * rise
    return result


def _chord(chance: Chance, count: int) -> Doubles:
    heights, root = _heights(chance), _pitch(chance, 80, 500)
    thirds = (0, chance.integers(3, 5), 7, chance.integers(9, 13))
    notes = [_harmonics(root * _SEMITONE**s, count, heights) for s in thirds]
    chord: Doubles = np.sum(notes, axis=0)
    return chord


def _melody(chance: Chance, count: int) -> Doubles:
    heights, root = _heights(chance), _pitch(chance, 100, 600)
    beat = chance.choice([0.12, 0.2, 0.3, 0.45])
    wave = np.zeros(count)
    at = 0
    while at < count:
        long = min(count - at, int(beat * chance.choice([1, 1, 2, 3]) * RATE))
        step = chance.choice(_SCALE)
        wave[at : at + long] = _faded(chance, _harmonics(root * _SEMITONE**step, long, heights))
        at += long
    return wave


def _hits(chance: Chance, count: int, gaps: Iterator[float], sound: _Make) -> Doubles:
    """`sound` again and again, after each of `gaps` in seconds."""
    wave = np.zeros(count)
    at = 0
    for gap in gaps:
        if at >= count:
            break
        long = min(count - at, int(0.25 * RATE))
        wave[at : at + long] += sound(chance, long)
        at += max(1, int(gap * RATE))
    return wave


def _steady(gap: float) -> Iterator[float]:
    while True:
        yield gap


def _random(chance: Chance, mean: float) -> Iterator[float]:
    while True:
        yield float(chance.exponential(mean))


def _drum(chance: Chance, count: int) -> Doubles:
    times = _times(count)
    body = np.sin(2 * np.pi * chance.uniform(50, 250) * times * np.exp(-times * 4))
    skin = chance.normal(size=count) * chance.uniform(0, 1)
    hit: Doubles = (body + skin) * np.exp(-times * chance.uniform(10, 40))
    return hit


def _click(chance: Chance, count: int) -> Doubles:
    click: Doubles = chance.normal(size=count) * np.exp(-_times(count) * chance.uniform(200, 2000))
    return click


def _drums(chance: Chance, count: int) -> Doubles:
    return _hits(chance, count, _steady(chance.uniform(0.12, 0.6)), _drum)


def _clicks(chance: Chance, count: int) -> Doubles:
    return _hits(chance, count, _random(chance, chance.uniform(0.03, 0.5)), _click)


def _dial(chance: Chance, count: int) -> Doubles:
    """Two tones at a time, as telephones dial (ITU-T Q.23)."""
    long = int(chance.uniform(0.06, 0.3) * RATE)
    rows, columns = np.array([697, 770, 852, 941]), np.array([1209, 1336, 1477, 1633])
    wave = np.zeros(count)
    for at in range(0, count, long + int(chance.uniform(0.02, 0.2) * RATE)):
        times = _times(min(long, count - at))
        pair = (chance.choice(rows), chance.choice(columns))
        wave[at : at + len(times)] = sum(np.sin(2 * np.pi * each * times) for each in pair)
    return wave


def _near_silence(chance: Chance, count: int) -> Doubles:
    """Noise of a few steps of 16-bit samples, or of less than one."""
    steps = chance.uniform(0, 6) / 32768
    return np.round(chance.normal(size=count) * steps * 32768) / 32768


def _engine(chance: Chance, count: int) -> Doubles:
    wander = np.cumsum(chance.normal(size=count)) / RATE * chance.uniform(0, 30)
    speed = np.maximum(chance.uniform(15, 80) + wander, 5)
    heights = chance.uniform(0.1, 1, 20) * np.arange(1, 21) ** -0.7
    rough = 1 + 0.5 * _noise(chance, count, 1, 20, 200)
    return _harmonics(speed, count, heights) * rough + 0.3 * _noise(chance, count, 1.5)


_KINDS: Mapping[str, _Make] = {
    "white noise": lambda chance, count: chance.normal(size=count),
    "pink noise": lambda chance, count: _noise(chance, count, 1),
    "brown noise": lambda chance, count: _noise(chance, count, 2),
    "band noise": _band,
    "hum": _hum,
    "tone": _tone,
    "sweep": _sweep,
    "chord": _chord,
    "melody": _melody,
    "drums": _drums,
    "clicks": _clicks,
    "dial tones": _dial,
    "near silence": _near_silence,
    "engine": _engine,
}


def _rising_noise(chance: Chance, count: int) -> Doubles:
    return _noise(chance, count, -chance.uniform(1, 2))


def _gusts(chance: Chance, count: int) -> Doubles:
    slow = _noise(chance, count, 1, 0.1, 2)
    level = np.exp(2 * slow / max(slow.std(), 1e-9))
    wind: Doubles = _noise(chance, count, 1.2, 40, 3000) * level
    return wind


def _siren(chance: Chance, count: int) -> Doubles:
    rate, low = chance.uniform(0.3, 4), chance.uniform(400, 900)
    place = 0.5 + 0.5 * np.sin(2 * np.pi * rate * _times(count))
    return _harmonics(low + low * place, count, np.array([1, 0.5, 0.3, 0.1]))


def _beeps(chance: Chance, count: int) -> Doubles:
    pitch, period = _pitch(chance, 500, 3000), chance.uniform(0.1, 0.8)
    on = (_times(count) % period) < period * chance.uniform(0.2, 0.7)
    beeps: Doubles = np.sign(np.sin(2 * np.pi * pitch * _times(count))) * on
    return beeps


def _bell(chance: Chance, count: int) -> Doubles:
    times, pitch = _times(count), _pitch(chance, 200, 1500)
    depth = np.exp(-times * chance.uniform(1, 4)) * chance.uniform(1, 6)
    inner = np.sin(2 * np.pi * pitch * chance.uniform(1.2, 4.5) * times)
    bell: Doubles = np.sin(2 * np.pi * pitch * times + depth * inner) * np.exp(-times * 6)
    return bell


def _bells(chance: Chance, count: int) -> Doubles:
    return _hits(chance, count, _random(chance, chance.uniform(0.2, 0.8)), _bell)


def _string(chance: Chance, count: int) -> Doubles:
    """A plucked string (Karplus and Strong 1983)."""
    period = int(chance.integers(20, 160))
    turns = count // period + 1
    wave = np.empty((turns, period))
    wave[0] = chance.uniform(-1, 1, period)
    for turn in range(1, turns):
        wave[turn] = 0.498 * (wave[turn - 1] + np.roll(wave[turn - 1], 1))
    return wave.ravel()[:count]


def _strings(chance: Chance, count: int) -> Doubles:
    return _hits(chance, count, _steady(chance.uniform(0.15, 0.5)), _string)


def _crackle(chance: Chance, count: int) -> Doubles:
    struck = chance.random(count) < chance.uniform(10, 300) / RATE
    return struck * chance.normal(size=count) + 0.01 * _noise(chance, count, 1)


def _morse(chance: Chance, count: int) -> Doubles:
    unit = int(chance.uniform(0.04, 0.1) * RATE)
    long = chance.choice([1, 3], size=count // unit + 1)
    keyed = np.concatenate([np.repeat([1.0, 0.0], [each, 1]) for each in long])
    sent: Doubles = np.repeat(keyed, unit)[:count] * np.sin(
        2 * np.pi * chance.uniform(400, 1000) * _times(count)
    )
    return sent


def _comb(chance: Chance, count: int) -> Doubles:
    noise, delay = chance.normal(size=count), int(chance.integers(16, 400))
    for _ in range(4):
        noise[delay:] += 0.7 * noise[:-delay]
    return noise


def _bird(chance: Chance, count: int) -> Doubles:
    start, bend = chance.uniform(2000, 5500), chance.uniform(-8, 8)
    trill = 300 * np.sin(2 * np.pi * chance.uniform(10, 60) * _times(count))
    pitch = np.clip(start * np.exp(bend * _times(count)) + trill, 1000, 7500)
    return _harmonics(pitch, count, np.ones(1)) * np.hanning(count)


def _birds(chance: Chance, count: int) -> Doubles:
    return _hits(chance, count, _random(chance, chance.uniform(0.15, 0.6)), _bird)


def _waves(chance: Chance, count: int) -> Doubles:
    swell = np.sin(np.pi * chance.uniform(0.1, 0.4) * _times(count) + chance.uniform(0, 3)) ** 2
    waves: Doubles = _noise(chance, count, 1, 100, 6000) * (swell + 0.05)
    return waves


def _arcade(chance: Chance, count: int) -> Doubles:
    steps = chance.choice([0, 4, 7, 12, 16], size=count // 800 + 1)
    pitch = np.repeat(_pitch(chance, 150, 700) * _SEMITONE**steps, 800)[:count]
    square: Doubles = np.sign(np.sin(2 * np.pi * np.cumsum(pitch) / RATE))
    return square


def _rattle(chance: Chance, count: int) -> Doubles:
    beat = chance.uniform(8, 30)
    pulse = np.abs(np.sin(np.pi * beat * _times(count))) ** 8
    rattle: Doubles = pulse * _noise(chance, count, 0, 500, 5000)
    return rattle


_OTHER_KINDS: Mapping[str, _Make] = {
    "rising noise": _rising_noise,
    "gusts": _gusts,
    "siren": _siren,
    "beeps": _beeps,
    "bells": _bells,
    "plucked strings": _strings,
    "crackle": _crackle,
    "morse": _morse,
    "comb noise": _comb,
    "birds": _birds,
    "waves": _waves,
    "arcade": _arcade,
    "rattle": _rattle,
}
