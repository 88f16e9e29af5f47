"""What tells a head from what it was before it was trained again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import Tensor

from embedsvc.encoder.ctc.heads import CtcHead
from embedsvc.types import Floats


def with_digest(head: CtcHead, tensors: Mapping[str, Tensor | Floats], weights: str) -> CtcHead:
    """The head with a digest of its tensors, its labels, its grid, and the body it reads.

    `weights` is the SHA-256 of that body. Names, licenses, figures and languages do not count, nor
    do the adapters of a language in the body: its head is trained with them.
    """
    labels = head.vocabulary
    known = {
        "body": weights,
        "layer": head.layer,
        "grid": [head.grid.hop, head.grid.field, head.grid.first],
        "labels": list(labels.labels),
        "blank": labels.blank,
        "space": labels.space,
    }
    digest = hashlib.sha256(json.dumps(known, sort_keys=True).encode())
    for name in sorted(tensors):
        values = np.asarray(tensors[name], "<f4")
        digest.update(f"\0{name}\0{values.shape}\0".encode())
        digest.update(np.ascontiguousarray(values).data)
    return replace(head, digest=digest.hexdigest())
