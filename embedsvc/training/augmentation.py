"""Changes to speech that leave its words: all on log-mel energies, for a whole batch at once.

Letters in shapes: B utterances, M mel frames (10 ms each), 80 bins. Every function takes a
`torch.Generator`, on the device of its tensors, and changes some of the utterances.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812  the usual name
from torch import Generator, Tensor

BINS = 80
FLOOR = math.log(2.0**-23)
"""Smallest log energy that the features know."""

CEILING = 40.0
WARPS = (0.82, 1.22)
"""Shortest and longest vocal tract against the speaker's own."""

PIVOT = 64.0
"""Bin above which a warp is bent back, so that the highest bin stays where it is."""

REVERBERATION = 96
"""Mel frames that an echo is followed."""


@dataclass(frozen=True)
class Chances:
    """Probability of each change for an utterance, and how far it may go."""

    vocal_tract: float = 0.7
    equalizer: float = 0.6
    tremolo: float = 0.3
    reverberation: float = 0.4
    noise: float = 0.8
    babble: float = 0.3
    loudest_noise_db: float = 3.0
    band: float = 0.25
    high_pass: float = 0.12
    squash: float = 0.3
    masked_bins: float = 0.5


def augment(mel: Tensor, chances: Chances, random: Generator) -> Tensor:
    """Log-mel energies (B, M, 80) as another speaker, room, microphone and line would give them."""
    mel = _vocal_tract(mel, chances.vocal_tract, random)
    mel = mel + _some(mel, chances.equalizer, random) * _bumps(mel, 8, 0.5, random, dim=2)
    mel = mel + _some(mel, chances.tremolo, random) * _bumps(mel, 6, 0.6, random, dim=1)
    power = mel.clamp(max=CEILING).exp()
    power = _reverberate(power, chances.reverberation, random)
    power = power + _noise(power, chances, random)
    mel = power.log().clamp(min=FLOOR)
    mel = _cut_band(mel, chances, random)
    return _squash(mel, chances.squash, random)


def mask_bins(features: Tensor, chances: Chances, random: Generator) -> Tensor:
    """Normalized features (B, T, 160) with some neighboring bins at their mean, which is zero."""
    bins = torch.arange(BINS, device=features.device)
    for _ in range(2):
        width = _uniform(features, (1, 12), random)
        start = _uniform(features, (0, BINS), random)
        inside = (bins >= start[:, :, 0]) & (bins < (start + width)[:, :, 0])  # (B, 80)
        chosen = inside & _some(features, chances.masked_bins, random)[:, :, 0].bool()
        features = features.masked_fill(chosen.repeat(1, 2)[:, None], 0.0)
    return features


def normalize(mel: Tensor) -> Tensor:
    """Features (B, M / 2, 160) of log-mel (B, M, 80): each bin at mean 0 and variance 1.

    As `embedsvc.audio.features` makes them of a single utterance.
    """
    mean = mel.mean(dim=1, keepdim=True)
    spread = (mel.var(dim=1, keepdim=True) + 1e-7).sqrt()
    batch, frames, _ = mel.shape
    return ((mel - mean) / spread).reshape(batch, frames // 2, 2 * BINS)


def spans(
    shape: tuple[int, int], share: float, longest: int, random: Generator, device: torch.device
) -> Tensor:
    """Which frames (B, T) are hidden: about `share` of them, in spans of `longest` or less."""
    batch, length = shape
    count = max(1, round(length * share / longest))
    starts = torch.rand((batch, count, 1), generator=random, device=device) * (length + longest)
    places = torch.arange(length, device=device)
    begins = starts - longest
    return ((places >= begins) & (places < begins + longest)).any(dim=1)


def _vocal_tract(mel: Tensor, chance: float, random: Generator) -> Tensor:
    """Bins read at warped places (Jaitly and Hinton 2013, vocal tract length perturbation)."""
    warp = torch.where(
        _some(mel, chance, random)[:, 0].bool(), _uniform(mel, WARPS, random)[:, 0], 1.0
    )  # (B, 1)
    bins = torch.arange(BINS, device=mel.device, dtype=mel.dtype)[None]
    knee = PIVOT / warp.clamp(min=1.0)
    above = warp * knee + (bins - knee) * (BINS - 1 - warp * knee) / (BINS - 1 - knee)
    places = torch.where(bins <= knee, warp * bins, above).clamp(0, BINS - 1)  # (B, 80)
    targets = torch.arange(BINS, device=mel.device, dtype=mel.dtype)[None, :, None]
    weights = (1 - (targets - places[:, None]).abs()).clamp(min=0)  # (B, from, to)
    return mel @ weights


def _bumps(mel: Tensor, knots: int, deviation: float, random: Generator, dim: int) -> Tensor:
    """A smooth random curve over the bins (dim 2) or the frames (dim 1), in natural log."""
    size = mel.shape[dim]
    if dim == 1:
        knots = max(2, knots * size // 300)
    curve = deviation * torch.randn((len(mel), 1, knots), generator=random, device=mel.device)
    smooth = F.interpolate(curve, size=size, mode="linear", align_corners=True)
    return smooth.transpose(1, 2) if dim == 1 else smooth


def _reverberate(power: Tensor, chance: float, random: Generator) -> Tensor:
    """Energy that decays at a random rate after each frame: 60 dB in 0.1 to 0.8 s."""
    seconds = _uniform(power, (0.1, 0.8), random)
    decay = 10 ** (-6 / (seconds * 100))  # per mel frame
    amount = _uniform(power, (0.05, 1.0), random) * (1 - decay) * _some(power, chance, random)
    frames = power.shape[1]
    places = torch.arange(frames, device=power.device)
    delays = (places[:, None] - places[None]).to(power.dtype)  # (to, from)
    echoes = (delays >= 1) & (delays < REVERBERATION)
    response = torch.where(echoes, decay ** delays.clamp(min=0), 0.0) * amount  # (B, to, from)
    return power + response @ power


def _noise(power: Tensor, chances: Chances, random: Generator) -> Tensor:
    """Energy of noise of a random color, or of other utterances of the batch talking at once."""
    tilt = _uniform(power, (-3.0, 1.5), random) * torch.linspace(
        0, 1, BINS, device=power.device, dtype=power.dtype
    )
    uniform = torch.rand(power.shape, generator=random, device=power.device, dtype=power.dtype)
    # Two degrees of freedom: the energy of Gaussian noise in a bin.
    hiss = -(uniform.clamp(min=1e-6).log()) * (_bumps(power, 7, 1.2, random, dim=2) + tilt).exp()
    hiss = hiss * (_some(power, 0.4, random) * _bumps(power, 10, 1.0, random, dim=1)).exp()
    talk = power.roll(1, dims=0) + power.roll(2, dims=0)
    noise = torch.where(_some(power, chances.babble, random).bool(), talk, hiss)
    quiet = _uniform(power, (8.0, 40.0), random)
    loud = _uniform(power, (chances.loudest_noise_db, 15.0), random)
    ratio = torch.where(_some(power, 0.7, random).bool(), quiet, loud)
    level = power.mean(dim=(1, 2), keepdim=True) / noise.mean(dim=(1, 2), keepdim=True).clamp(
        min=1e-9
    )
    return _some(power, chances.noise, random) * noise * level * 10 ** (-ratio / 10)


def _cut_band(mel: Tensor, chances: Chances, random: Generator) -> Tensor:
    """Bins above what a telephone or codec passes, or below what a small speaker does, at rest."""
    bins = torch.arange(BINS, device=mel.device)
    rest = mel.amin(dim=(1, 2), keepdim=True)
    rest = rest + 0.5 * torch.randn(mel.shape, generator=random, device=mel.device).abs()
    top = torch.where(
        _some(mel, chances.band, random).bool(), _uniform(mel, (54, 78), random), float(BINS)
    )
    bottom = torch.where(
        _some(mel, chances.high_pass, random).bool(), _uniform(mel, (1, 9), random), 0.0
    )
    return torch.where((bins >= top) | (bins < bottom), rest, mel)


def _squash(mel: Tensor, chance: float, random: Generator) -> Tensor:
    """Nothing quieter than 26 to 52 dB below the loudest, as after a noise gate or a codec."""
    reach = _uniform(mel, (6.0, 12.0), random)
    floor = mel.amax(dim=(1, 2), keepdim=True) - reach
    return torch.where(_some(mel, chance, random).bool(), torch.maximum(mel, floor), mel)


def _uniform(like: Tensor, limits: tuple[float, float], random: Generator) -> Tensor:
    """A number for each utterance: (B, 1, 1)."""
    low, high = limits
    shape = (len(like), 1, 1)
    return low + (high - low) * torch.rand(shape, generator=random, device=like.device)


def _some(like: Tensor, chance: float, random: Generator) -> Tensor:
    """1 for the utterances that are changed, 0 for the others: (B, 1, 1)."""
    drawn = torch.rand((len(like), 1, 1), generator=random, device=like.device)
    return (drawn < chance).to(like.dtype)
