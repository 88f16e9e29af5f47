"""Any wav2vec2-bert checkpoint: from features to hidden states, vectors and their spaces."""

from embedsvc.encoder.checkpoints import Checkpoint, bundled, resolve
from embedsvc.encoder.config import EncoderConfig
from embedsvc.encoder.heads import PhoneHead, load_phone_head
from embedsvc.encoder.memory import out_of_memory, return_freed
from embedsvc.encoder.model import Encoder, Plan
from embedsvc.encoder.native import library as kernels
from embedsvc.encoder.pooling import merge, normalize, pool
from embedsvc.encoder.precision import Fidelity, Judge, fidelity, in_precision
from embedsvc.encoder.profiles import Basis, Profile
from embedsvc.encoder.projections import (
    PROJECTION_NAME,
    Defaults,
    Projection,
    Projections,
    add_projections,
    read_projection_file,
    write_projections,
)
from embedsvc.encoder.spaces import FEATURES_VERSION, Identity, Recipe, space_of
from embedsvc.encoder.threads import share_threads, threads, usual_passes

__all__ = [
    "FEATURES_VERSION",
    "PROJECTION_NAME",
    "Basis",
    "Checkpoint",
    "Defaults",
    "Encoder",
    "EncoderConfig",
    "Fidelity",
    "Identity",
    "Judge",
    "PhoneHead",
    "Plan",
    "Profile",
    "Projection",
    "Projections",
    "Recipe",
    "add_projections",
    "bundled",
    "fidelity",
    "in_precision",
    "kernels",
    "load_phone_head",
    "merge",
    "normalize",
    "out_of_memory",
    "pool",
    "read_projection_file",
    "resolve",
    "return_freed",
    "share_threads",
    "space_of",
    "threads",
    "usual_passes",
    "write_projections",
]
