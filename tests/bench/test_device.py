"""Devices, and how much work the encoder is for them; on a processor."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from embedsvc.bench.device import Device, matrix_rate, operations
from embedsvc.encoder.config import EncoderConfig, read_config
from tests.encoder.reference import reference, save

PUBLISHED = EncoderConfig(
    hidden_size=1024,
    num_hidden_layers=24,
    num_attention_heads=16,
    intermediate_size=4096,
    feature_projection_input_dim=160,
    conv_depthwise_kernel_size=31,
    left_max_position_embeddings=64,
    right_max_position_embeddings=8,
    rotary_embedding_base=10_000,
    layer_norm_eps=1e-5,
    hidden_act="swish",
    position_embeddings_type="relative_key",
)
CPU = Device("cpu")


def test_a_frame_of_the_published_model_is_a_billion_operations() -> None:
    alone = operations(PUBLISHED, [1])
    assert alone == pytest.approx(1.163e9, rel=1e-3)
    assert operations(PUBLISHED, [500]) == pytest.approx(500 * (alone + 499 * 98_304))
    assert operations(PUBLISHED, [500, 20]) == operations(PUBLISHED, [500]) + operations(
        PUBLISHED, [20]
    )


def test_they_are_those_that_the_reference_does(tmp_path: Path) -> None:
    model = reference(position_embeddings_type=None)
    model.set_attn_implementation("eager")  # of which every product is counted
    config = read_config(save(model, tmp_path))
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 37, 160))
    before = 2 * 37 * 160 * config.hidden_size
    assert counter.get_total_flops() - before == operations(config, [37])


def test_a_relative_key_is_a_product_with_each_of_the_table() -> None:
    plain = replace(PUBLISHED, position_embeddings_type=None)
    assert operations(PUBLISHED, [7]) - operations(plain, [7]) == 2 * 24 * 7 * 1024 * 73


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_processor_multiplies_at_some_rate(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("embedsvc.bench.device.LEAST_SECONDS", 0.05)
    assert 1e7 < matrix_rate(CPU, dtype, 256) < 1e14


def test_a_processor_has_the_memory_of_the_process() -> None:
    CPU.forget_peak()
    CPU.wait()
    before = CPU.held()
    assert before > 2**20
    large = bytearray(2**26)
    assert CPU.held(peak=True) - before > 2**25
    del large
    assert (CPU.is_gpu, CPU.title) == (False, "cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_has_the_memory_of_its_tensors() -> None:
    gpu = Device("cuda")
    before = gpu.held()
    gpu.forget_peak()
    large = torch.zeros(2**24, device="cuda")
    del large
    assert (gpu.held() - before, gpu.held(peak=True) - before) == (0, 2**26)
    assert matrix_rate(gpu, torch.bfloat16) > matrix_rate(gpu, torch.float32)
