"""MMD against a plain double loop, and the weights of its sum with the alignment."""

import math

import pytest
import torch

from train.losses.alignment_losses import ALIGNMENT, LEAST_SAMPLES, MMD, mmd, pair_loss, weighted


def clouds(count: int = LEAST_SAMPLES, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, 6, generator=generator), torch.randn(count + 3, 6, generator=generator) + shift


def kernel(a: torch.Tensor, b: torch.Tensor) -> float:
    squared = sum((float(x) - float(y)) ** 2 for x, y in zip(a, b, strict=True))
    return sum(math.exp(-0.5 * squared / bandwidth) for bandwidth in (10, 15, 20, 50))


def test_mmd_is_that_of_plain_loops():
    x, y = clouds()

    def mean(a: torch.Tensor, b: torch.Tensor) -> float:
        return sum(kernel(one, other) for one in a for other in b) / (len(a) * len(b))

    assert mmd(x, y).item() == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), abs=1e-5)


def test_mmd_is_nothing_for_the_same_cloud_and_grows_with_the_distance():
    x, _ = clouds()
    assert mmd(x, x.clone()).item() == pytest.approx(0.0, abs=1e-6)
    near, far = (mmd(*clouds(shift=shift)).item() for shift in (0.5, 3.0))
    assert far > 2 * near > 0


def test_of_few_samples_it_is_refused_in_words():
    x, y = clouds(LEAST_SAMPLES - 1)
    with pytest.raises(ValueError, match="MMD of 31 samples says nothing .*give at least 32"):
        mmd(x, y)
    with pytest.raises(ValueError, match="MMD of 2 samples"):
        mmd(y, y[:2])


def test_precision_of_the_run_does_not_round_distances():
    x, y = (10 * torch.nn.functional.normalize(part, dim=-1) for part in clouds())
    with torch.autocast("cpu", torch.bfloat16):
        rounded = mmd(x, y)
    assert rounded.item() == mmd(x, y).item()


def test_pairs_are_compared_one_by_one():
    x, y = torch.tensor([[1.0, 0.0], [0.0, 3.0]]), torch.tensor([[1.0, 2.0], [0.0, 0.0]])
    assert pair_loss(x, y).item() == (4 + 9) / 4


@pytest.mark.parametrize(("weight", "expected"), [(0.0, 10.0), (1.0, 3.0), (0.75, 0.75 * 3 + 0.25 * 10)])
def test_weights_add_up_and_zero_removes_a_term(weight: float, expected: float):
    terms = {ALIGNMENT: torch.tensor(3.0, requires_grad=True), MMD: torch.tensor(10.0, requires_grad=True)}
    value = weighted(terms, weight)
    assert value.item() == pytest.approx(expected)
    value.backward()
    assert (terms[ALIGNMENT].grad.item(), terms[MMD].grad.item()) == pytest.approx((weight, 1 - weight))
    assert weighted({MMD: terms[MMD]}, weight).item() == pytest.approx((1 - weight) * 10)
