"""Small CTC checkpoints with random weights, written as the reference library writes them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertForCTC,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForCTC,
)

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
WAVE: dict[str, Any] = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "conv_dim": [16, 16, 20, 16, 16, 16, 24],
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": len(TOKENS),
    "pad_token_id": TOKENS["[PAD]"],
}
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}
LANGUAGES = {
    "eng": {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6},
    "spa": {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "ñ": 5, "o": 6, "ü": 7, "z": 8},
    "azj-script_latin": {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "ə": 5},
}
LANGUAGE_TOKENIZER = {"tokenizer_class": "Wav2Vec2CTCTokenizer", "target_lang": "eng"}


READS_FEATURES: Any = SeamlessM4TFeatureExtractor
READS_SAMPLES: Any = Wav2Vec2FeatureExtractor
SPELLS: Any = Wav2Vec2CTCTokenizer


def published(model: Any, extractor: Any, path: Path, samples: Floats) -> Path:
    """The whole of a checkpoint, that writes letters and blanks but no special tokens."""
    inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt")
    balance(model, inputs, [TOKENS[token] for token in ("<s>", "</s>", "[UNK]")])
    model.save_pretrained(path)
    extractor.save_pretrained(path)
    (path / "tokens.json").write_text(json.dumps(TOKENS))
    tokenizer = SPELLS(str(path / "tokens.json"), unk_token="[UNK]", pad_token="[PAD]")
    tokenizer.save_pretrained(path)
    return path


def balance(model: Any, inputs: Mapping[str, Any], silent: Sequence[int]) -> None:
    """Change the head so that no label is the likeliest throughout, and some never are."""
    with torch.no_grad():
        model.lm_head.bias -= model(**inputs).logits[0].mean(dim=0)
        model.lm_head.bias[silent] = -1e4


def bert(**changes: Any) -> Any:
    """A random `Wav2Vec2BertForCTC`."""
    values = {name: each for name, each in BERT.items() if name != "output_hidden_size"}
    model: Any = Wav2Vec2BertForCTC(Wav2Vec2BertConfig(**(values | changes)))
    model.eval()
    randomize(model)
    return model


def wave(**changes: Any) -> Any:
    """A random `Wav2Vec2ForCTC`."""
    model: Any = Wav2Vec2ForCTC(Wav2Vec2Config(**(WAVE | changes)))
    model.eval()
    randomize(model)
    return model


def of_languages(directory: Path) -> Path:
    """A model with adapters: of English among its weights, of two languages in their files."""
    sizes = {"vocab_size": 7, "pad_token_id": 0, "adapter_attn_dim": 6}
    model = wave(**(STABLE | sizes))
    write(model, directory, LANGUAGES, LANGUAGE_TOKENIZER)
    for seed, language in enumerate(("spa", "azj-script_latin")):
        labels = len(LANGUAGES[language])
        model.lm_head = torch.nn.Linear(WAVE["hidden_size"], labels)
        generator = torch.Generator().manual_seed(seed)
        own = {
            name: 0.3 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in model._get_adapters().items()
        }
        save_file(own, directory / f"adapter.{language}.safetensors")
    return directory


def renamed(directory: Path, names: Mapping[str, str]) -> None:
    """Change parts of the names of a checkpoint's tensors."""
    tensors = load_file(directory / "model.safetensors")
    changed = {}
    for name, tensor in tensors.items():
        other = name
        for old, new in names.items():
            other = other.replace(old, new)
        changed[other] = tensor
    save_file(changed, directory / "model.safetensors")


def speech(samples: int, seed: int = 0) -> Floats:
    """Noise (N,) that is neither centered nor of variance 1."""
    noise = np.random.default_rng([seed, samples]).standard_normal(samples)
    return (0.1 + 0.05 * noise).astype(np.float32)


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


def wave_logits(model: Any, samples: Floats, *, normalize: bool = True) -> Floats:
    """What the reference gives (T', V) for one utterance, prepared as by its own extractor."""
    extractor: Any = Wav2Vec2FeatureExtractor
    extractor = extractor(do_normalize=normalize)
    inputs = extractor(samples, sampling_rate=16_000, return_tensors="pt").input_values
    with torch.inference_mode():
        logits: Floats = model(inputs).logits[0].numpy()
    return logits


def log_probabilities(logits: Floats) -> Floats:
    """Logits (T, V) as log-probabilities."""
    answer: Floats = torch.log_softmax(torch.from_numpy(logits), dim=-1).numpy()
    return answer
