"""Regional prompts in diffusers' UNet."""

from types import SimpleNamespace

import pytest
import torch
from diffusers import UNet2DConditionModel

from sg_models.bases import sg_mini
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraphError
from train.bases.model_folders import CHECKPOINTS
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.conditioners import CaptionConditioner, Conditions
from train.conditioning.influence import Influence
from train.conditioning.regional_conditioner import RegionalConditioner
from train.conditioning.regional_unet import Regions, attach_regions, finest_attended, region_arguments
from train.conditioning.sampling import sample_latents

LEFT, RIGHT, WHOLE, NOTHING = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0), (0.0, 0.0, 1.0, 1.0), (0.0,) * 4
SIZE = (8, 12)


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**sg_mini.UNET).eval().requires_grad_(False)
    attach_regions(unet)
    return unet


def call(unet, noisy, prompts, contexts=None, boxes=None, base_weight=0.0, strength=1.0):
    given = {}
    if contexts is not None:
        given = region_arguments(Regions(contexts, torch.tensor(boxes), base_weight, strength, SIZE), {})
    return unet(noisy, 500, encoder_hidden_states=prompts, **given).sample


@pytest.fixture(scope="module")
def given() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Noise of two pictures, their prompts, and phrases of two regions each."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 4, *SIZE), (2, 77, 128), (2, 2, 77, 128))
    noisy, prompts, contexts = (torch.randn(shape, generator=generator) for shape in shapes)
    return noisy, prompts, contexts


def test_one_region_over_all_is_its_phrase_as_the_prompt(unet, given):
    noisy, prompts, contexts = given
    regional = call(unet, noisy, prompts, contexts, [[WHOLE, NOTHING]] * 2)
    torch.testing.assert_close(regional, call(unet, noisy, contexts[:, 0]), atol=1e-5, rtol=1e-4)
    assert (regional - call(unet, noisy, prompts)).abs().max() > 1e-3


def test_no_weight_is_the_prompt_alone(unet, given):
    noisy, prompts, contexts = given
    plain = call(unet, noisy, prompts)
    for changes in ({"base_weight": 1.0}, {"strength": 0.0}):
        regional = call(unet, noisy, prompts, contexts, [[LEFT, RIGHT]] * 2, **changes)
        torch.testing.assert_close(regional, plain, atol=1e-5, rtol=1e-4)


def test_rows_without_regions_are_the_bases_own(unet, given):
    noisy, prompts, contexts = given
    regional = call(unet, noisy, prompts, contexts[:1], [[LEFT, RIGHT]])
    plain = call(unet, noisy, prompts)
    torch.testing.assert_close(regional[1], plain[1], atol=1e-5, rtol=1e-4)
    assert (regional[0] - plain[0]).abs().max() > 1e-3


def test_each_picture_has_its_own_regions(unet, given):
    noisy, prompts, contexts = given
    boxes = [[LEFT, RIGHT], [RIGHT, NOTHING]]
    together = call(unet, noisy, prompts, contexts, boxes)
    apart = [call(unet, noisy[[i]], prompts[[i]], contexts[[i]], boxes[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(together, torch.cat(apart), atol=1e-5, rtol=1e-4)


def test_a_variant_gets_regions_while_they_act():
    base = load_sg_mini(CHECKPOINTS / sg_mini.CHECKPOINT).freeze()
    graph = parse_scene_graph("small red circle @ 0 0 0.5 1 | left of | large blue square @ 0.5 0 1 1\ngreen star")
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(2))

    def latents(condition) -> torch.Tensor:
        conditions = condition([graph])
        assert isinstance(conditions, Conditions)
        return sample_latents(base, conditions, noise, steps=2, guidance=4.0)

    caption = CaptionConditioner(base)
    plain = latents(caption)
    drawn = {end: latents(RegionalConditioner(base, caption, 0.3, Influence(end=end))) for end in (0.3, 1.0)}
    over = latents(RegionalConditioner(base, caption, 0.3, Influence(start=0.9)))
    assert torch.equal(over, plain), "outside its part of sampling a region changes nothing"
    assert (drawn[0.3] - plain).abs().max() > 1e-2 and (drawn[0.3] - drawn[1.0]).abs().max() > 1e-2


def test_a_graph_without_boxes_is_refused_in_words():
    base = load_sg_mini(CHECKPOINTS / sg_mini.CHECKPOINT).freeze()
    condition = RegionalConditioner(base, CaptionConditioner(base), 0.3)
    with pytest.raises(SceneGraphError, match="need a box for at least one object"):
        condition.check_fits(parse_scene_graph("dog | near | cat"))


def test_a_box_of_under_two_cells_of_the_finest_map_is_refused_in_words():
    base = load_sg_mini(CHECKPOINTS / sg_mini.CHECKPOINT).freeze()
    graph = parse_scene_graph("red star @ 0 0 0.5 0.1")
    conditions = RegionalConditioner(base, CaptionConditioner(base), 0.3)([graph])
    with pytest.raises(
        SceneGraphError, match='"red star" covers 8.0 × 1.6 cells of 16 × 16, and regional prompts need 2'
    ):
        sample_latents(base, conditions, torch.zeros(1, 4, 16, 16), steps=1, guidance=2.0)


def test_a_unet_whose_finest_level_attends_to_nothing_is_read_from_the_next():
    config = SimpleNamespace(config={"down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D")})
    assert finest_attended(config, (97, 128)) == (49, 64)
