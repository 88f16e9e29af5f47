"""The model as transformers has it: the reference for every number, and what most people run."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from embedsvc.bench.engines.engine import Engine, Job, one_by_one
from embedsvc.encoder.model import usable_device
from embedsvc.types import Floats

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def engines(job: Job) -> list[Engine]:
    """A padded batch with its mask, as one would write it; and the fairer loop over utterances."""
    torch.set_num_threads(job.threads)
    model = load(job, job.library, _DTYPES[job.precision]).to(usable_device(job.device))

    def padded(utterances: Sequence[Floats]) -> list[Floats]:
        lengths = [len(features) for features in utterances]
        batch = np.zeros((len(lengths), max(lengths), utterances[0].shape[1]), np.float32)
        mask = np.zeros(batch.shape[:2], np.int64)
        for row, features in enumerate(utterances):
            batch[row, : len(features)] = features
            mask[row, : len(features)] = 1
        with torch.inference_mode():
            states = model(
                torch.from_numpy(batch).to(model.device, model.dtype),
                attention_mask=torch.from_numpy(mask).to(model.device),
            ).last_hidden_state
            whole = states.float().cpu().numpy()
        return [whole[row, :length] for row, length in enumerate(lengths)]

    name = f"transformers {job.library} {job.precision}"
    return [
        Engine(f"{name}, padded batch", padded),
        Engine(f"{name}, one by one", one_by_one(lambda one: padded([one])[0]), alone=True),
    ]


def load(job: Job, attention: str, dtype: torch.dtype = torch.float32) -> Any:
    """The encoder of transformers, without a head."""
    # Slow to import, and only there where it is compared with.
    from transformers import Wav2Vec2BertModel  # noqa: PLC0415

    model: Any = Wav2Vec2BertModel.from_pretrained(
        job.model, dtype=dtype, attn_implementation=attention, local_files_only=True
    )
    return model.eval()
