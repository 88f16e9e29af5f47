"""The way every source takes to 16 kHz mono, so that all give the same samples, bit for bit."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import soxr

from embedsvc.audio.checks import Checks
from embedsvc.errors import (
    AudioEmpty,
    AudioTooLong,
    AudioTooShort,
    AudioTruncated,
    ChannelsRejected,
    SampleRateOutOfRange,
    SamplesNotFinite,
)
from embedsvc.timing import MIN_SAMPLES, SAMPLE_RATE, to_seconds
from embedsvc.types import AudioWarning, ChannelPolicy, Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

MIN_RATE = 4_000
MAX_RATE = 192_000
MAX_CHANNELS = 32


@dataclass(frozen=True)
class Door:
    """What is accepted: `strict` refuses truncated audio, which is a warning otherwise."""

    policy: ChannelPolicy = ChannelPolicy.MIX
    max_seconds: float = 600.0
    strict: bool = False


class Intake:
    """Blocks of one source, (n, channels) float32, become mono blocks at 16 kHz.

    The samples do not depend on where the source was cut into blocks: channels are mixed sample
    by sample, and the resampler keeps its state. Raises as soon as a rule is broken.
    """

    def __init__(self, sample_rate: int, channels: int, door: Door) -> None:
        _check_rate(sample_rate)
        _check_channels(channels, door.policy)
        self._rate = sample_rate
        self._channels = channels
        self._door = door
        self._taken = 0
        self._given = 0
        self._checks = Checks()
        self._resampler = (
            None
            if sample_rate == SAMPLE_RATE
            else soxr.ResampleStream(sample_rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        )

    @property
    def taken(self) -> int:
        """Samples per channel so far, at the rate of the source."""
        return self._taken

    def expect(self, count: int) -> None:
        """Raise AudioTooLong if `count` samples per channel are too many."""
        seconds, limit = count / self._rate, self._door.max_seconds
        if seconds > limit:
            raise AudioTooLong(
                f"`audio` must be at most {limit:g} s, but is {seconds:g} s",
                field="audio",
                limit_seconds=limit,
                seconds=seconds,
            )

    def push(self, block: Floats) -> Floats:
        """The samples at 16 kHz that `block` completes, (N,)."""
        self._taken += len(block)
        self._check_length()
        _check_finite(block)
        if self._door.policy is ChannelPolicy.FIRST:
            block = block[:, :1]
        self._checks.source(block)
        return self._give(_mix(block), last=False)

    def finish(self) -> Floats:
        """The samples still inside the resampler; raises if there was too little audio."""
        rest = self._give(np.empty(0, np.float32), last=True)
        if not self._taken:
            raise AudioEmpty("`audio` must have samples, but has none", field="audio")
        if self._given < MIN_SAMPLES:
            raise AudioTooShort(
                f"`audio` must be at least {to_seconds(MIN_SAMPLES):g} s, "
                f"but is {to_seconds(self._given):g} s",
                field="audio",
                minimum_seconds=to_seconds(MIN_SAMPLES),
                seconds=to_seconds(self._given),
            )
        return rest

    def warnings(self, missing: str = "") -> tuple[AudioWarning, ...]:
        """What was noticed; `missing` says what truncated audio lacks, and raises if strict."""
        if missing and self._door.strict:
            raise AudioTruncated(f"`audio` must be complete, but {missing}", field="audio")
        noticed = self._checks.warnings()
        if self._channels > 1:
            noticed = (Checks.downmixed(self._channels, self._door.policy), *noticed)
        if self._resampler:
            noticed = (Checks.resampled(self._rate), *noticed)
        return (Checks.truncated(missing), *noticed) if missing else noticed

    def _give(self, samples: Floats, *, last: bool) -> Floats:
        if self._resampler:
            samples = self._resampler.resample_chunk(samples, last=last)
            # Values near the end of the float32 range overflow inside the filter.
            _check_finite(samples)
        self._given += len(samples)
        self._checks.output(samples)
        return samples

    def _check_length(self) -> None:
        limit = self._door.max_seconds
        if self._taken > limit * self._rate:
            raise AudioTooLong(
                f"`audio` must be at most {limit:g} s, but is longer",
                field="audio",
                limit_seconds=limit,
            )


def _mix(block: Floats) -> Floats:
    """Mean over channels, added one by one so that the result is the same for every block size."""
    channels = block.shape[1]
    if channels == 1:
        return np.ascontiguousarray(block[:, 0])
    total: NDArray[np.float64] = block[:, 0].astype(np.float64)
    for channel in range(1, channels):
        total += block[:, channel]
    mean: Floats = (total / channels).astype(np.float32)
    return mean


def _check_rate(rate: int) -> None:
    if not MIN_RATE <= rate <= MAX_RATE:
        raise SampleRateOutOfRange(
            f"`audio` must have a sample rate of {MIN_RATE} to {MAX_RATE} Hz, but has {rate} Hz",
            field="audio",
            minimum_hz=MIN_RATE,
            maximum_hz=MAX_RATE,
            sample_rate_hz=rate,
        )


def _check_channels(channels: int, policy: ChannelPolicy) -> None:
    most = 1 if policy is ChannelPolicy.REJECT else MAX_CHANNELS
    if not 1 <= channels <= most:
        allowed = "1 channel" if most == 1 else f"1 to {most} channels"
        raise ChannelsRejected(
            f"`audio` must have {allowed}, but has {channels}",
            field="audio",
            maximum_channels=most,
            channels=channels,
        )


def _check_finite(samples: Floats) -> None:
    if not np.isfinite(samples).all():
        raise SamplesNotFinite(
            "`audio` must have finite samples, but has NaN, infinity or values too large to filter",
            field="audio",
        )
