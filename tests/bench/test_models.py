import math
from pathlib import Path

import numpy as np
import pytest

from embedsvc.bench import models
from embedsvc.encoder import Encoder, resolve
from embedsvc.encoder.config import read_config
from embedsvc.encoder.tensors import expected_shapes
from embedsvc.errors import InvalidArgument
from embedsvc.types import Ask, Frames

SMALL = {"hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128}


def test_the_random_model_runs_and_is_the_same_every_time(tmp_path: Path) -> None:
    first, second = (models.write_random(tmp_path / name, 2, **SMALL) for name in "ab")
    assert resolve(str(first)).weights == resolve(str(second)).weights
    encoder = Encoder.load(resolve(str(first)))
    features = np.random.default_rng(0).standard_normal((30, 160)).astype(np.float32)
    (answer,) = encoder.encode([Frames(features)], [Ask((2,), (0, 30))])
    assert answer.frames[2].shape == (30, 64)
    assert 0.1 < answer.frames[2].std() < 10


def test_its_parameters_are_those_of_w2v_bert(tmp_path: Path) -> None:
    directory = models.write_random(tmp_path / "one", 1)
    config = read_config(directory)
    sizes = {name: math.prod(shape) for name, shape in expected_shapes(config).items()}
    layer = sum(size for name, size in sizes.items() if name.startswith("encoder.layers."))
    rest = sum(sizes.values()) - layer
    assert round((24 * layer + rest) / 1e6) == 580


def test_layers_are_for_the_random_model_alone(tmp_path: Path) -> None:
    assert models.directory_of("mini", None, tmp_path) == resolve("mini").directory
    with pytest.raises(InvalidArgument, match="`--layers` must go with --model random-580m"):
        models.directory_of("mini", 3, tmp_path)
