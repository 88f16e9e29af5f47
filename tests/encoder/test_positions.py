import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from embedsvc.encoder.linear import Linear
from embedsvc.encoder.positions import Relative, RelativeKey, sinusoids, skew


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 6), length=st.integers(1, 9))
def test_skew_turns_distances_into_keys(rows: int, length: int) -> None:
    band = torch.arange(2 * rows * (length + rows - 1)).view(2, rows, -1).float()
    by_key = skew(band, length)
    for row in range(rows):
        for key in range(length):
            assert torch.equal(by_key[:, row, key], band[:, row, key - row + rows - 1])


@settings(max_examples=25, deadline=None)
@given(
    length=st.integers(1, 30),
    left=st.integers(0, 12),
    right=st.integers(0, 12),
    cut=st.integers(0, 29),
)
def test_blocks_of_relative_keys_are_the_pairwise_definition(
    length: int, left: int, right: int, cut: int
) -> None:
    generator = torch.Generator().manual_seed(length)
    queries = torch.randn(2, length, 4, generator=generator)
    table = torch.randn(left + right + 1, 4, generator=generator)
    places = torch.arange(length)
    distances = (places[None] - places[:, None]).clamp(-left, right) + left
    pairwise = torch.einsum("hqd,qkd->hqk", queries, table[distances]) / 2
    biases = RelativeKey(table, left).biases(queries)
    cut = min(cut, length - 1)
    blocks = [(0, cut), (cut, length)] if cut else [(0, length)]
    for begin, end in blocks:
        rows, scores = biases.rows(begin, end)
        assert scores is not None
        torch.testing.assert_close(scores, pairwise[:, begin:end])
        assert torch.equal(rows, queries[:, begin:end])


def test_blocks_of_sinusoids_are_the_whole() -> None:
    generator = torch.Generator().manual_seed(0)
    queries = torch.randn(2, 20, 4, generator=generator)
    weights = torch.randn(8, 8, generator=generator)
    biases = [torch.randn(2, 4, generator=generator) for _ in range(2)]
    scored = Relative(Linear(weights), *biases).biases(queries)
    _, all_scores = scored.rows(0, 20)
    _, some_scores = scored.rows(7, 15)
    assert all_scores is not None
    assert some_scores is not None
    torch.testing.assert_close(some_scores, all_scores[:, 7:15])


def test_the_middle_sinusoid_is_distance_zero() -> None:
    assert torch.equal(sinusoids(3, 4)[2], torch.tensor([0.0, 1.0, 0.0, 1.0]))
