"""Small CTC checkpoints with random weights, written as the reference library writes them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import Wav2Vec2BertConfig, Wav2Vec2BertForCTC

from embedsvc.types import Floats, Frames
from tests.encoder.reference import SIZES, randomize

TOKENS = {"a": 0, "b": 1, "ng": 2, "'": 3, "|": 4, "<s>": 5, "</s>": 6, "[UNK]": 7, "[PAD]": 8}
TOKENIZER = {
    "tokenizer_class": "Wav2Vec2CTCTokenizer",
    "unk_token": "[UNK]",
    "pad_token": "[PAD]",
    "word_delimiter_token": "|",
    "do_lower_case": False,
}
BERT: dict[str, Any] = SIZES | {"vocab_size": len(TOKENS), "pad_token_id": TOKENS["[PAD]"]}


def bert(**changes: Any) -> Any:
    """A random `Wav2Vec2BertForCTC`."""
    values = {name: each for name, each in BERT.items() if name != "output_hidden_size"}
    model: Any = Wav2Vec2BertForCTC(Wav2Vec2BertConfig(**(values | changes)))
    model.eval()
    randomize(model)
    return model


def write(
    model: Any,
    directory: Path,
    tokens: Mapping[str, Any] = TOKENS,
    tokenizer: Mapping[str, Any] = TOKENIZER,
) -> Path:
    """The model and the files of its tokenizer."""
    model.save_pretrained(directory)
    (directory / "vocab.json").write_text(json.dumps(tokens))
    (directory / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return directory


def logits_of(model: Any, frames: Frames) -> Floats:
    """What the reference gives (T', V) for one utterance and its mask."""
    with torch.inference_mode():
        answer = model(
            torch.from_numpy(frames.features)[None],
            attention_mask=torch.ones(1, len(frames), dtype=torch.long),
        )
    logits: Floats = answer.logits[0].numpy()
    return logits


def log_probabilities(logits: Floats) -> Floats:
    """Logits (T, V) as log-probabilities."""
    answer: Floats = torch.log_softmax(torch.from_numpy(logits), dim=-1).numpy()
    return answer
