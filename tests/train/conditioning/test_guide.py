"""A guide at sampling time: it sees each step's prediction, may change it, and gradients reach the latents."""

import torch
from torch import Tensor

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from train.conditioning.conditioners import CaptionConditioner
from train.conditioning.sampling import sample_latents, starting_noise

GRAPH = SceneGraph((SceneObject("circle", ("red",)),))


def sample(base, guide=None) -> Tensor:
    conditions = CaptionConditioner(base)([GRAPH])
    return sample_latents(base, conditions, starting_noise(base, 0, 1), steps=3, guidance=2.0, guide=guide)


def test_a_guide_that_changes_nothing_leaves_the_latents_bit_for_bit(base):
    seen = []

    def watch(latents: Tensor, timestep: Tensor, prediction: Tensor) -> Tensor:
        seen.append((latents.shape, int(timestep), prediction.shape))
        return prediction

    plain, watched = sample(base), sample(base, watch)
    assert torch.equal(plain, watched)
    assert not plain.requires_grad and not watched.requires_grad
    assert [shapes for shapes, _, _ in seen] == [(1, 4, 16, 16)] * 3
    assert [timestep for _, timestep, _ in seen] == sorted((t for _, t, _ in seen), reverse=True)


def test_gradients_of_the_prediction_reach_the_latents(base):
    found = []

    def push(latents: Tensor, timestep: Tensor, prediction: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad(prediction.square().sum(), latents)
        found.append(gradient.abs().max().item())
        return prediction + 0.1 * gradient

    assert not torch.allclose(sample(base, push), sample(base), atol=1e-3)
    assert len(found) == 3 and all(value > 0 for value in found)


def test_pictures_pass_gradients_to_latents(base):
    latents = torch.randn(1, 4, 16, 16, requires_grad=True)
    base.decode(latents).sum().backward()
    assert latents.grad is not None and latents.grad.any()
