"""GLIGEN's weights draw here what they draw in diffusers' own pipeline, in the layouts of SD 1.x and 2.x."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionGLIGENPipeline, UNet2DConditionModel

from sg_models.adapters.adapter import AdapterError, read_adapter
from sg_models.graph.caption import caption
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import SceneGraphError
from train import sample
from train.bases.base_model import BaseModel
from train.bases.load import load_base
from train.conditioning.gligen_conditioner import GligenConditioner
from train.conditioning.influence import Influence
from train.conditioning.sampling import sample_latents, starting_noise
from train.conditioning.trained_adapter import load_variant
from train.convert_igligen import Config, main

TOLERANCE = 1e-4
STEPS, GUIDANCE = 5, 7.5
GRAPH = parse_scene_graph(
    "small red dog @ 0.05 0.5 0.45 0.95 | left of | large blue house @ 0.5 0.2 0.95 0.9\nwhite cloud @ 0.3 0 0.7 0.2"
)
NAMES = ("sd15", "sd21")


@pytest.fixture(scope="module", params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def folder(name: str, gligen_folder: Callable[[str], Path]) -> Path:
    return gligen_folder(name)


@pytest.fixture(scope="module")
def adapter_path(folder: Path) -> Path:
    """In float32: what is compared is arithmetic, not the rounding of a file."""
    out = folder / "gligen.safetensors"
    main(Config(str(folder), out=out, half=False))
    return out


@pytest.fixture(scope="module")
def whole_unet(folder: Path) -> UNet2DConditionModel:
    """diffusers' own, with its position net and fusers."""
    return UNet2DConditionModel.from_pretrained(folder / "unet").requires_grad_(False)


@pytest.fixture(scope="module")
def attached(folder: Path, adapter_path: Path) -> GligenConditioner:
    """A base with the adapter in it."""
    return load_variant(load_base(str(folder)).freeze(), str(adapter_path))


@pytest.fixture
def condition(attached: GligenConditioner) -> GligenConditioner:
    return GligenConditioner(attached.base, attached.adapter, attached.encode)


@pytest.fixture
def base(attached: GligenConditioner) -> BaseModel:
    return attached.base


def latents_of(base: BaseModel, condition: GligenConditioner, **changes) -> torch.Tensor:
    noise = starting_noise(base, 0, 1)
    return sample_latents(base, condition([GRAPH]), noise, steps=STEPS, guidance=GUIDANCE, **changes)


def latents_of_the_pipeline(base: BaseModel, unet: UNet2DConditionModel, end: float) -> torch.Tensor:
    parts = (base.vae, base.text_encoder, base.tokenizer, unet, base.scheduler)
    pipeline = StableDiffusionGLIGENPipeline(*parts, None, None, requires_safety_checker=False)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        caption(GRAPH),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        gligen_scheduled_sampling_beta=end,
        gligen_phrases=[thing.phrase for thing in GRAPH.objects],
        gligen_boxes=[list(thing.box) for thing in GRAPH.objects],
        latents=starting_noise(base, 0, 1),
        output_type="latent",
    ).images


@pytest.mark.parametrize("end", [0.4, 1.0])
def test_latents_are_those_of_diffusers_own_pipeline(
    base: BaseModel, whole_unet: UNet2DConditionModel, condition: GligenConditioner, end: float
):
    condition.influence = Influence(end=None if end == 0.4 else end)
    ours = latents_of(base, condition)
    theirs = latents_of_the_pipeline(base, whole_unet, end)
    assert (ours - theirs).abs().max() <= TOLERANCE
    condition.influence = Influence(strength=0.0)
    assert (ours - latents_of(base, condition)).abs().max() > 0.01, "GLIGEN changes nothing"


def test_the_unet_says_what_diffusers_says(
    base: BaseModel, whole_unet: UNet2DConditionModel, condition: GligenConditioner
):
    """Both halves, with the tokens that diffusers' position net makes of the same phrases and boxes."""
    conditions = condition([GRAPH])
    noisy, timestep = torch.randn(2, 4, 16, 12, generator=torch.Generator().manual_seed(1)), torch.tensor(900)
    context = torch.cat([conditions.positive, conditions.negative])
    count = len(GRAPH.objects)
    given = {
        "boxes": torch.zeros(2, 30, 4),
        "positive_embeddings": torch.zeros(2, 30, context.shape[-1]),
        "masks": torch.zeros(2, 30),
    }
    given["boxes"][0, :count] = torch.tensor([thing.box for thing in GRAPH.objects])
    given["positive_embeddings"][0, :count] = base.encode_phrases([thing.phrase for thing in GRAPH.objects])
    given["masks"][0, :count] = 1
    with torch.no_grad():
        ours = base.predict(noisy, timestep, context, **conditions.unet_arguments(noisy, timestep, context))
        theirs = whole_unet(noisy, timestep, context, cross_attention_kwargs={"gligen": given}).sample
    assert (ours - theirs).abs().max() <= TOLERANCE
    torch.testing.assert_close(
        condition.adapter.tokens([GRAPH], condition.encode([GRAPH]))[..., :-5],
        whole_unet.position_net(**{name: tensor[:1] for name, tensor in given.items()}),
        atol=1e-5,
        rtol=1e-5,
    )


def test_phrases_are_encoded_as_gligen_was_trained(base: BaseModel):
    """`pooler_output`: the state at the first end-of-text token of the layer that the UNet is conditioned on."""
    phrases = ["small red dog", "cloud"]
    rows = base.tokenizer(phrases, padding=True, return_tensors="pt")
    assert torch.allclose(base.encode_phrases(phrases), base.text_encoder(**rows).pooler_output, atol=1e-5)


def test_masks_are_an_option_that_changes_latents(base: BaseModel, condition: GligenConditioner):
    plain = latents_of(base, condition)
    condition.masks = True
    assert (latents_of(base, condition) - plain).abs().max() > 1e-3


def test_one_unet_call_a_step_and_layers_until_the_end(base: BaseModel, condition: GligenConditioner):
    calls, layers = [], []
    base.unet.register_forward_hook(lambda *given: calls.append(len(given[1][0])))
    block = condition.adapter.gated_attention.block("middle_block.1")
    block.register_forward_hook(lambda *_: layers.append(1))
    latents_of(base, condition)
    assert (calls, len(layers)) == ([2] * STEPS, 2)


def test_a_box_of_under_two_cells_is_refused_in_words(base: BaseModel, condition: GligenConditioner):
    small = parse_scene_graph("red dot @ 0.5 0.5 0.6 0.9")
    condition.check_fits(small)
    with pytest.raises(SceneGraphError, match=r'box of "red dot" covers 1.6 × 6.4 cells of 16 × 16.*0.125 wide'):
        sample_latents(base, condition([small]), starting_noise(base, 0, 1), steps=STEPS, guidance=GUIDANCE)


def test_the_file_says_whose_it_is(adapter_path: Path, name: str):
    file = read_adapter(adapter_path)
    assert (file.kind, file.base) == ("gligen", name)
    with pytest.raises(AdapterError, match="trained on"):
        replace(file, base="sd15" if name != "sd15" else "sd21").check_base(name, file.prediction_type)


def test_the_command_arranges_a_graph_and_draws_it(folder: Path, adapter_path: Path, tmp_path: Path):
    (tmp_path / "graph.txt").write_text("small red dog | left of | large blue house\nlarge blue house | under | cloud")
    options = {"base": str(folder), "adapter": str(adapter_path), "graph": [str(tmp_path / "graph.txt")]}
    options |= {"out": tmp_path / "pictures", "n": 2, "steps": 2}
    with pytest.raises(SceneGraphError, match='graph: "small red dog" and 2 more have no box'):
        sample.main(sample.Config(**options))
    sample.main(sample.Config(**options, arrange=True, side=256))
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["graph_0.png", "graph_1.png"]
