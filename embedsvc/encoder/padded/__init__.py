"""The encoder on padded batches, for GPUs; its numbers are the same on a processor."""

from embedsvc.encoder.padded.network import PACKED, PaddedNetwork, on_gpu, tried

__all__ = ["PACKED", "PaddedNetwork", "on_gpu", "tried"]
