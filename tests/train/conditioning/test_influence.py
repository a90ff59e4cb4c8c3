"""How strongly and when an adapter acts: at the timesteps that its start and end say, and nowhere else."""

import pytest
import torch

from sg_models.adapters.adapter import AdapterError
from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.graph.formats import parse_scene_graph
from train.conditioning.conditioners import GSAConditioner, controlnet_arguments
from train.conditioning.grounded_unet import attach
from train.conditioning.influence import Influence, InfluenceOptions
from train.conditioning.phrase_encoders import ClipPhrases
from train.conditioning.sampling import sample_latents, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.running.command_line import UsageError

GRAPH = parse_scene_graph("red circle | left of | blue square")


@pytest.mark.parametrize(
    ("start", "end", "acting"),
    [
        (0.0, 1.0, [999, 700, 300, 0]),
        (0.0, 0.3, [999, 700]),
        (0.3, 1.0, [300, 0]),
        (0.2, 0.8, [700, 300]),
        (0.5, 0.5, []),
        (0.0, 0.0, []),
    ],
)
def test_acts_between_start_and_end_of_the_noise_schedule(start, end, acting):
    influence = Influence(start=start, end=end)
    assert [t for t in (999, 700, 300, 0) if influence.acts_at(torch.tensor(t))] == acting


def test_without_strength_it_never_acts():
    assert not Influence(strength=0.0).acts_at(torch.tensor(500))


@pytest.fixture
def condition(base, make_adapter):
    adapter = make_adapter(gate=1.0)
    attach(base.unet, adapter)
    return GSAConditioner(base, adapter, RememberedPhrases(ClipPhrases(base)))


def latents(condition: GSAConditioner, influence: Influence) -> torch.Tensor:
    condition.influence = influence
    noise = starting_noise(condition.base, 0, 1, 64)
    return sample_latents(condition.base, condition([GRAPH]), noise, steps=5, guidance=2.0)


def test_the_layers_run_in_the_steps_that_are_asked_for_alone(condition):
    block = condition.adapter.gated_attention.block("middle_block.1")
    runs = []
    block.register_forward_hook(lambda *_: runs.append(1))
    for influence, count in ((Influence(), 5), (Influence(end=0.45), 3), (Influence(start=0.45), 2)):
        runs.clear()
        latents(condition, influence)
        assert len(runs) == count


def test_a_strength_lies_between_none_and_all(condition):
    none, half, whole = (latents(condition, Influence(strength=strength)) for strength in (0.0, 0.5, 1.0))
    with torch.no_grad():
        prompts = condition.base.encode_prompts(["an image", ""])
    plain = type(condition([GRAPH]))(prompts[:1], prompts[1:])
    noise = starting_noise(condition.base, 0, 1, 64)
    assert torch.equal(none, sample_latents(condition.base, plain, noise, steps=5, guidance=2.0))
    assert 0 < (half - none).norm() < (whole - none).norm()


def test_a_controlnets_residuals_are_scaled():
    def controlnet(noisy, timestep, context, *, controlnet_cond, conditioning_scale, return_dict):
        assert not return_dict
        return [controlnet_cond.mean() * conditioning_scale], noisy.mean() * conditioning_scale

    noisy = torch.ones(2, 4, 8, 8)
    for strength in (1.0, 0.25):
        arguments = controlnet_arguments(controlnet, torch.full((2, 3, 8, 8), 2.0), strength)
        added = arguments(noisy, torch.tensor(1), noisy)
        assert added["down_block_additional_residuals"] == [2 * strength]
        assert added["mid_block_additional_residual"] == strength


def test_what_has_no_layers_of_its_own_is_refused_an_influence(base):
    assert load_variant(base, "none", influence=Influence())
    with pytest.raises(AdapterError, match=r"\(none\) has no strength, start or end"):
        load_variant(base, "none", influence=Influence(end=0.5))


@pytest.mark.parametrize("options", [{"strength": -0.1}, {"start": 0.6, "end": 0.4}, {"end": 1.2}, {"start": -0.1}])
def test_numbers_that_cannot_be_are_refused(options):
    with pytest.raises(UsageError, match="--strength must|0 ≤ start ≤ end ≤ 1"):
        InfluenceOptions(**options).influence()
