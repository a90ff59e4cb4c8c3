"""A guide at sampling time: it sees each step's prediction, may change it, and both kinds of prediction follow."""

import pytest
import torch
from torch import Tensor

from sg_models.graph.scene_graph import SceneGraph, SceneObject
from sg_models.guidance.view import View
from train.conditioning.conditioners import CaptionConditioner
from train.conditioning.sampling import guided_prediction, predicted_clean, sample_latents, starting_noise

GRAPH = SceneGraph((SceneObject("circle", ("red",)),))


def sample(base, guide=None) -> Tensor:
    conditions = CaptionConditioner(base)([GRAPH])
    return sample_latents(base, conditions, starting_noise(base, 0, 1), steps=3, guidance=2.0, guide=guide)


def test_a_guide_that_changes_nothing_leaves_the_latents_as_they_are(base):
    seen = []

    def watch(view: View, over: float) -> Tensor:
        seen.append((tuple(view.noisy.shape), int(view.timesteps[0]), over))
        return view.clean

    plain, watched = sample(base), sample(base, watch)
    assert torch.equal(plain, watched)
    assert not plain.requires_grad and not watched.requires_grad
    assert [shape for shape, _, _ in seen] == [(1, 4, 16, 16)] * 3
    assert [timestep for _, timestep, _ in seen] == sorted((t for _, t, _ in seen), reverse=True)
    assert [over for _, _, over in seen] == sorted(over for _, _, over in seen) and seen[0][2] == 0.0


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_scheduler_predicts_what_the_guide_asked_for(base, prediction_type):
    base.scheduler.register_to_config(prediction_type=prediction_type)
    latents, prediction, wanted = torch.randn(3, 2, 4, 16, 16)
    timestep = torch.tensor(500)
    changed = guided_prediction(base, latents, timestep, prediction, lambda view, over: wanted)
    base.scheduler.set_timesteps(10)
    found = base.scheduler.step(changed, timestep, latents).pred_original_sample
    assert torch.allclose(found, wanted, atol=1e-4)


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_the_view_is_what_the_scheduler_makes_of_the_prediction(base, prediction_type):
    base.scheduler.register_to_config(prediction_type=prediction_type)
    base.scheduler.set_timesteps(10)
    latents, prediction = torch.randn(2, 2, 4, 16, 16)
    alpha = float(base.scheduler.alphas_cumprod[700])
    clean = predicted_clean(prediction_type, alpha, latents, prediction)
    expected = base.scheduler.step(prediction, torch.tensor(700), latents).pred_original_sample
    assert torch.allclose(clean, expected, atol=1e-4)


def test_pictures_pass_gradients_to_latents(base):
    latents = torch.randn(1, 4, 16, 16, requires_grad=True)
    base.decode(latents).sum().backward()
    assert latents.grad is not None and latents.grad.any()
