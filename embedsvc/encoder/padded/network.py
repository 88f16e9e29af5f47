"""The encoder as a GPU runs it: neighbors in length padded to one, the blocks compiled.

Letters in shapes: N frames of all utterances together, B utterances of one batch, R frames that
each is padded to, C hidden size.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from embedsvc.encoder.config import INPUT_SIZE
from embedsvc.encoder.layers import Block, Network
from embedsvc.encoder.padded.blocks import serves, step
from embedsvc.encoder.padded.graphs import Capture, Cuda, Graphs
from embedsvc.encoder.padded.ladder import neighborhoods, rung

Step = Callable[[Block, Tensor, Tensor], Tensor]

PACKED = "packed"
TRIAL = ((50,), (300,), (50, 40, 45), (300, 220, 257))
"""Lengths of the batches that are tried: a compiled block is for one utterance or for several, and
for one tile of attention or for several.
"""
ROUNDS = 4
"""Passes of each where shapes are captured, which the last of them are."""

ALIKE = {torch.float32: 0.9999, torch.bfloat16: 0.99}
"""Least cosine of a frame to that of the packed pass, by the numbers that are multiplied."""

_VARIANTS = 32
"""Compiled forms of a block: four each for few precisions, kinds of positions and sizes."""


@dataclass(frozen=True)
class Batch:
    """Neighbors in length: where their `frames` are among all, and their `places` when padded."""

    frames: Tensor
    places: Tensor
    lengths: Tensor
    rung: int

    @classmethod
    def of(cls, chosen: Sequence[int], lengths: Sequence[int], device: torch.device) -> "Batch":
        """Of those `chosen` from utterances of `lengths` frames, one after the other."""
        begins = torch.tensor([0, *lengths]).cumsum(0)[list(chosen)]
        sizes = torch.tensor([lengths[place] for place in chosen])
        size = rung(int(sizes.max()))
        real = torch.arange(size) < sizes[:, None]  # (B, R)
        return cls(
            frames=(begins[:, None] + torch.arange(size))[real].to(device),
            places=real.flatten().nonzero().flatten().to(device),
            lengths=sizes.to(device),
            rung=size,
        )

    def pad(self, states: Tensor) -> Tensor:
        """Padded (B, R, C) of the states (N, C), zeros behind the real ones."""
        padded = states.new_zeros(len(self.lengths) * self.rung, states.shape[-1])
        padded.index_copy_(0, self.places, states.index_select(0, self.frames))
        return padded.view(len(self.lengths), self.rung, -1)

    def unpad(self, padded: Tensor, states: Tensor) -> None:
        """Put the real ones of (B, R, C) where they belong in states (N, C)."""
        states.index_copy_(0, self.frames, padded.flatten(0, 1).index_select(0, self.places))


@dataclass(frozen=True)
class PaddedNetwork:
    """The whole encoder with the weights of a packed one; it gives packed states too.

    What stands behind the end of an utterance changes none of its frames, except that products of
    other shapes may round otherwise.
    """

    packed: Network
    advance: Step = step
    capture: Capture | None = None
    graphs: Graphs | None = None

    @classmethod
    def of(cls, packed: Network, advance: Step, capture: Capture | None) -> "PaddedNetwork":
        """With captures of its own, if there shall be some."""
        blocks = tuple(packed.exact_blocks())

        def forward(block: int, states: Tensor, lengths: Tensor) -> Tensor:
            return advance(blocks[block], states, lengths)

        return cls(packed, advance, capture, Graphs(forward, capture) if capture else None)

    def at(self, dtype: torch.dtype) -> "PaddedNetwork":
        """The same with products in other numbers; states, norms and scores stay float32."""
        return self.of(self.packed.at(dtype), self.advance, self.capture)

    def hidden_states(
        self, inputs: Tensor, lengths: Sequence[int], deepest: int
    ) -> Iterator[Tensor]:
        """States (N, C) of layers 0 to `deepest`, each when it is known.

        `inputs` are features (N, 160) of utterances of `lengths` frames, one after the other.
        """
        states = self.packed.projection(self.packed.norm(inputs))
        yield states
        chosen = neighborhoods(lengths)
        batches = [Batch.of(each, lengths, inputs.device) for each in chosen]
        with ExitStack() as stack:
            runs = [self._run(stack, batch.pad(states), batch.lengths) for batch in batches]
            for block in range(deepest):
                states = torch.empty_like(states)
                for batch, run in zip(batches, runs, strict=True):
                    batch.unpad(run(block), states)
                yield states

    def _run(self, stack: ExitStack, states: Tensor, lengths: Tensor) -> Callable[[int], Tensor]:
        """What gives the states after each block, asked for in order."""
        if self.graphs is not None:
            captured = stack.enter_context(self.graphs.claimed(states, lengths))
            if captured is not None:
                return captured
        blocks = tuple(self.packed.exact_blocks())
        latest = states

        def plain(block: int) -> Tensor:
            nonlocal latest
            latest = self.advance(blocks[block], latest, lengths)
            return latest

        return plain


def on_gpu(packed: Network) -> tuple[Network | PaddedNetwork, str]:
    """The network as a GPU runs it best, and how that is in words."""
    if not all(map(serves, packed.exact_blocks())):
        return packed, f"{PACKED}: its blocks are not those of published models"
    return tried(PaddedNetwork.of(packed, compiled(), Cuda(packed.projection.weight.device)))


def tried(network: PaddedNetwork) -> tuple[Network | PaddedNetwork, str]:
    """The network, or the packed one if it fails or gives something else, and why in words.

    A compiler, a driver and a capture may fail here that did not elsewhere; nothing of this is
    worth a service that does not start.
    """
    try:
        least = float(torch.cat([_cosines(network, lengths) for lengths in TRIAL]).min())
    except Exception as error:  # noqa: BLE001  whatever it is, the packed pass needs none of it
        (reason, *_) = f"{type(error).__name__}: {error}".splitlines()
        return network.packed, f"{PACKED}: padded batches failed, {reason}"
    needed = ALIKE[next(network.packed.exact_blocks()).first.inner.weight.dtype]
    if not least >= needed:
        found = f"cosine {least:.5f} to packed, must be {needed}"
        return network.packed, f"{PACKED}: padded batches differ, {found}"
    how = f"padded; cosine at least {least:.6f} to packed"
    if network.graphs is None or network.graphs.failure:
        return network, f"{how}; no CUDA graphs{_because(network.graphs)}"
    return network, f"{how}; {network.graphs.captured} shapes captured"


def compiled(backend: str = "inductor") -> Step:
    """A step that is compiled when it first meets another kind of shape, not for each shape."""
    whole: Step = torch.compile(  # type: ignore[call-overload]  # the stub lacks the limit
        step, fullgraph=True, backend=backend, recompile_limit=_VARIANTS
    )

    def advance(block: Block, states: Tensor, lengths: Tensor) -> Tensor:
        for tensor, dimension in ((states, 0), (states, 1), (lengths, 0)):
            torch._dynamo.maybe_mark_dynamic(tensor, dimension)  # noqa: SLF001  documented so
        return whole(block, states, lengths)

    return advance


def _because(graphs: Graphs | None) -> str:
    return "" if graphs is None else f": {graphs.failure}"


def _cosines(network: PaddedNetwork, lengths: Sequence[int]) -> Tensor:
    """Of each frame of the last layer, between the padded and the packed pass; in every round."""
    generator = torch.Generator().manual_seed(sum(lengths))
    noise = torch.randn(sum(lengths), INPUT_SIZE, generator=generator)
    depth = len(network.packed.blocks)
    with torch.inference_mode():
        inputs = noise.to(network.packed.projection.weight.device)
        *_, expected = network.packed.hidden_states(inputs, lengths, depth)
        cosines = []
        for _ in range(ROUNDS if network.graphs is not None else 1):
            *_, found = network.hidden_states(inputs, lengths, depth)
            cosines.append(torch.cosine_similarity(expected, found, dim=-1).cpu())
    return torch.cat(cosines)
