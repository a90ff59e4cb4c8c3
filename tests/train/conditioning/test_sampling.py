"""Drawing with a UNet whose answers are known: classifier-free guidance is the formula that everyone means by it."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from train.conditioning.conditioners import Conditions
from train.conditioning.sampling import draw_graphs, sample_latents, starting_noise

WITH, WITHOUT = torch.tensor([3.0, -1.0]), torch.tensor([0.5, 2.0])  # what the UNet says of two pictures
SHAPE = (2, 4, 2, 2)


class Schedule:
    """Takes what is predicted off the latents, and keeps it."""

    init_noise_sigma = 2.0

    def __init__(self) -> None:
        self.timesteps: list[int] = []
        self.predictions: list[Tensor] = []

    def set_timesteps(self, steps: int, device: torch.device) -> None:
        self.timesteps = list(range(steps, 0, -1))

    def scale_model_input(self, noisy: Tensor, timestep: int) -> Tensor:
        return noisy / timestep

    def step(self, prediction: Tensor, timestep: int, latents: Tensor) -> SimpleNamespace:
        self.predictions.append(prediction)
        return SimpleNamespace(prev_sample=latents - prediction)


class Base:
    """Its UNet says what its context says, and keeps what it is given; its pictures are its latents."""

    device = torch.device("cpu")

    def __init__(self) -> None:
        self.scheduler, self.calls = Schedule(), []

    def predict(self, noisy: Tensor, timestep: int, context: Tensor, **more: Any) -> Tensor:
        self.calls.append((noisy, timestep, context, more))
        return context[:, :1, :1, None].expand_as(noisy)

    def decode(self, latents: Tensor) -> Tensor:
        return latents


def said(values: Tensor) -> Tensor:
    """A context [2, 77, 8] that makes the UNet say these values, one for each picture."""
    return values[:, None, None].expand(-1, 77, 8)


def everywhere(values: Tensor) -> Tensor:
    return values[:, None, None, None].expand(SHAPE)


@pytest.fixture
def base() -> Base:
    return Base()


CONDITIONS = Conditions(said(WITH), said(WITHOUT))
GUIDED = [(0.0, WITHOUT), (1.0, WITH), (2.0, 2 * WITH - WITHOUT), (4.0, WITHOUT + 4 * (WITH - WITHOUT))]


@pytest.mark.parametrize(("guidance", "expected"), GUIDED, ids=["0", "1", "2", "4"])
def test_guidance_goes_from_without_the_prompt_to_with_it_and_beyond(base: Base, guidance: float, expected: Tensor):
    noise = torch.ones(SHAPE)
    latents = sample_latents(base, CONDITIONS, noise, steps=3, guidance=guidance)
    assert len(base.scheduler.predictions) == 3
    assert all(torch.equal(prediction, everywhere(expected)) for prediction in base.scheduler.predictions)
    assert torch.equal(latents, Schedule.init_noise_sigma * noise - 3 * everywhere(expected))


def test_both_halves_share_one_call_and_see_the_same_noise_the_positive_one_first(base: Base):
    asked: list[tuple[Tensor, int, Tensor]] = []

    def arguments(noisy: Tensor, timestep: int, context: Tensor) -> dict[str, Any]:
        asked.append((noisy, timestep, context))
        return {"step": len(asked)}

    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    conditions = Conditions(CONDITIONS.positive, CONDITIONS.negative, arguments)
    sample_latents(base, conditions, noise, steps=3, guidance=2.0)
    assert [timestep for _, timestep, _, _ in base.calls] == [3, 2, 1]
    for k, ((noisy, timestep, context, more), given) in enumerate(zip(base.calls, asked, strict=True), start=1):
        assert more == {"step": k}
        assert torch.equal(noisy[:2], noisy[2:]) and torch.equal(context, torch.cat([said(WITH), said(WITHOUT)]))
        assert given[0] is noisy and given[1] == timestep and torch.equal(given[2], context)
    assert torch.equal(base.calls[0][0][:2], Schedule.init_noise_sigma * noise / 3), "not scaled as the schedule says"


class Conditioner:
    guidance = 4.0

    def __call__(self, graphs: list) -> Conditions:
        return CONDITIONS


@pytest.mark.parametrize(("asked", "used"), [(None, 4.0), (0.0, 0.0), (2.0, 2.0)])
def test_guidance_is_the_variants_own_unless_one_is_asked_for(base: Base, asked: float | None, used: float):
    draw_graphs(base, Conditioner(), [None, None], torch.ones(SHAPE), steps=1, guidance=asked)
    assert torch.equal(base.scheduler.predictions[0], everywhere(dict(GUIDED)[used]))


def test_a_pictures_noise_is_its_own_however_many_are_drawn():
    base = SimpleNamespace(unet=SimpleNamespace(config={"in_channels": 4}))
    one, three, other = (starting_noise(base, *given, 128) for given in ((0, 1), (0, 3), (1, 1)))
    assert three.shape == (3, 4, 16, 16)
    assert torch.equal(three[:1], one) and not torch.equal(three[1:2], one) and not torch.equal(other, one)
