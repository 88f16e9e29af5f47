"""Each objective is small when what it asks for is there."""

import math
from dataclasses import replace

import pytest
import torch

from embedsvc.training.batches import UNKNOWN, Batch
from embedsvc.training.objectives import (
    Heads,
    Layers,
    Layout,
    Quantizer,
    Weights,
    code_loss,
    losses,
)

LAYOUT = Layout(
    Layers(1, 1, 1, 1), phones=4, languages=3, voices=2, content=8, codebooks=2, codes=16
)


def batch(
    groups: tuple[int, ...] = (1, 1, 2, 3), phones: tuple[tuple[int, ...], ...] = ()
) -> Batch:
    count = len(groups)
    labels = torch.full((count, 10), 2)
    labels[0] = UNKNOWN
    return Batch(
        mel=torch.zeros(count, 20, 80),
        labels=labels,
        languages=torch.tensor([0, 1, 2, 0])[:count],
        groups=torch.tensor(groups),
        voices=torch.tensor([0, 1, 1, 0])[:count],
        manners=torch.tensor([[0.2] * 3, [math.nan] * 3, [0.4] * 3, [math.nan] * 3])[:count],
        real=torch.zeros(count, dtype=torch.bool),
        phones=phones or ((),) * count,
    )


@pytest.fixture
def heads() -> Heads:
    torch.manual_seed(0)
    return Heads(6, LAYOUT)


def layers(count: int = 4) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(2)
    return [torch.randn((count, 10, 6), generator=random) for _ in range(2)]


def test_phones_are_asked_only_where_they_are_known(heads: Heads) -> None:
    with torch.no_grad():
        heads.phones.weight.zero_()
        heads.phones.bias.copy_(torch.tensor([0.0, 0.0, 9.0, 0.0]))
    found = losses(layers(), heads, batch(), Weights(ctc=0, language=0, content=0, voice=0))
    assert set(found) == {"phones"}
    assert found["phones"].item() < 0.01


def test_what_does_not_count_is_not_computed(heads: Heads) -> None:
    found = losses(
        layers(), heads, batch(), Weights(phones=1, ctc=1, language=1, content=0, voice=0)
    )
    assert set(found) == {"phones", "language"}


def test_content_needs_two_clips_of_a_text(heads: Heads) -> None:
    weights = Weights(ctc=0, language=0, content=1, voice=0)
    assert "content" in losses(layers(), heads, batch(), weights)
    assert "content" not in losses(layers(), heads, batch((1, 2, 3, 4)), weights)


def test_content_is_small_when_equal_texts_are_equal(heads: Heads) -> None:
    same = layers()
    same[1][1] = same[1][0]
    weights = Weights(ctc=0, language=0, content=1, voice=0)
    assert losses(same, heads, batch(), weights)["content"].item() < 0.1


def test_a_voice_and_its_manner_are_found(heads: Heads) -> None:
    weights = Weights(phones=0, ctc=0, language=0, content=0, voice=1)
    speakers = torch.tensor([0.0, 1.0, 1.0, 0.0])
    states = speakers[:, None, None].expand(4, 10, 6)
    with torch.no_grad():
        heads.voice.linear.weight.zero_()
        heads.voice.linear.weight[1] = 20.0
        heads.manner.linear.weight.zero_()
        heads.manner.linear.bias.fill_(1.0)
    # Manners 0.2 and 0.4 are 1 and 2 in units of 0.2; those that are not known are not asked.
    heard = losses([states, states], heads, batch(), weights)["voice"].item()
    assert heard == pytest.approx((0 + 1) / 2, abs=0.01)
    other = replace(batch(), voices=torch.tensor([1, 0, 0, 1]))
    assert losses([states, states], heads, other, weights)["voice"].item() > 5


def test_a_manner_that_nobody_knows_costs_nothing(heads: Heads) -> None:
    weights = Weights(phones=0, ctc=0, language=0, content=0, voice=1)
    known = batch()
    unknown = replace(known, manners=torch.full((4, 3), math.nan))
    found = losses(layers(), heads, unknown, weights)["voice"]
    assert found.isfinite()
    assert found < losses(layers(), heads, known, weights)["voice"]


def test_phones_without_times_are_found_in_their_order(heads: Heads) -> None:
    weights = Weights(ctc=1, language=0, content=0, voice=0)
    right = batch(phones=((1, 2), (), (), ()))
    states = torch.zeros(4, 10, 6)
    with torch.no_grad():
        heads.phones.weight.zero_()
        heads.phones.weight[:, :4] = 20 * torch.eye(4)
        states[0, 2, 1] = states[0, 5, 2] = 1.0
        states[0, [0, 1, 3, 4, 6, 7, 8, 9], 0] = 1.0
    assert losses([states, states], heads, right, weights)["ctc"].item() < 0.1
    wrong = batch(phones=((2, 1), (), (), ()))
    assert losses([states, states], heads, wrong, weights)["ctc"].item() > 5
    long = batch(phones=((1, 2, 3, 1, 2, 3), (), (), ()))
    assert losses([states, states], heads, long, weights)["ctc"].item() == 0.0


def test_codes_are_the_same_each_time_and_all_are_used() -> None:
    features = torch.randn((4_000, 160), generator=torch.Generator().manual_seed(1))
    codes = Quantizer(160, LAYOUT, seed=3)(features)
    assert codes.shape == (2, 4_000)
    assert torch.equal(codes, Quantizer(160, LAYOUT, seed=3)(features))
    assert not torch.equal(codes, Quantizer(160, LAYOUT, seed=4)(features))
    assert len(codes[0].unique()) == LAYOUT.codes


def test_guessing_codes_costs_their_logarithm(heads: Heads) -> None:
    with torch.no_grad():
        heads.codes.weight.zero_()
        heads.codes.bias.zero_()
    hidden = torch.zeros(4, 10, dtype=torch.bool)
    hidden[1, 2:5] = True
    targets = torch.randint(0, LAYOUT.codes, (2, 3))
    loss = code_loss(layers()[1], targets, hidden, heads)
    assert loss.item() == pytest.approx(math.log(LAYOUT.codes), abs=1e-5)
