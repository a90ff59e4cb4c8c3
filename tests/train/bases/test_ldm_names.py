"""diffusers' names → LDM's, against diffusers' own conversion in the other direction."""

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

from sg_models.bases import sg_mini
from train.bases.ldm_names import block_addresses, ldm_name, ldm_names

SD21 = {
    "sample_size": 96,
    "block_out_channels": (320, 640, 1280, 1280),
    "attention_head_dim": (5, 10, 20, 20),
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}
SD21_ADDRESSES = [
    *(f"input_blocks.{i}.1" for i in (1, 2, 4, 5, 7, 8)),
    "middle_block.1",
    *(f"output_blocks.{i}.1" for i in (3, 4, 5, 6, 7, 8, 9, 10, 11)),
]
MINI_ADDRESSES = [
    "input_blocks.1.1",
    "input_blocks.3.1",
    "middle_block.1",
    *(f"output_blocks.{i}.1" for i in range(4)),
]


def unet(config: dict) -> UNet2DConditionModel:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


@pytest.fixture(scope="module")
def sd21() -> UNet2DConditionModel:
    return unet(SD21)


@pytest.fixture(scope="module")
def mini() -> UNet2DConditionModel:
    return unet(sg_mini.UNET)


def ldm_state(model: UNet2DConditionModel) -> dict[str, torch.Tensor]:
    state = model.state_dict()
    return {ldm: state[name] for name, ldm in ldm_names(model).items()}


@pytest.mark.parametrize("which", ["sd21", "mini"])
def test_every_name_is_another(which: str, request: pytest.FixtureRequest):
    model = request.getfixturevalue(which)
    assert len(ldm_state(model)) == len(model.state_dict())


@pytest.mark.parametrize("which", ["sd21", "mini"])
def test_diffusers_conversion_gives_the_names_back(which: str, request: pytest.FixtureRequest):
    model = request.getfixturevalue(which)
    state = model.state_dict()
    checkpoint = {f"model.diffusion_model.{ldm}": state[name] for name, ldm in ldm_names(model).items()}
    back = convert_ldm_unet_checkpoint(checkpoint, dict(model.config))
    assert set(back) == set(state)
    assert all(back[name] is tensor for name, tensor in state.items())


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("time_embed.0.weight", (1280, 320)),
        ("time_embed.2.bias", (1280,)),
        ("input_blocks.0.0.weight", (320, 4, 3, 3)),
        ("input_blocks.1.0.in_layers.2.weight", (320, 320, 3, 3)),
        ("input_blocks.1.1.proj_in.weight", (320, 320)),
        ("input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight", (320, 320)),
        ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", (320, 1024)),
        ("input_blocks.1.1.transformer_blocks.0.ff.net.0.proj.weight", (2560, 320)),
        ("input_blocks.3.0.op.weight", (320, 320, 3, 3)),
        ("input_blocks.4.0.skip_connection.weight", (640, 320, 1, 1)),
        ("input_blocks.11.0.out_layers.3.weight", (1280, 1280, 3, 3)),
        ("middle_block.0.emb_layers.1.weight", (1280, 1280)),
        ("middle_block.1.norm.weight", (1280,)),
        ("middle_block.2.out_layers.0.weight", (1280,)),
        ("output_blocks.0.0.in_layers.0.weight", (2560,)),
        ("output_blocks.2.1.conv.weight", (1280, 1280, 3, 3)),  # no transformer on this level
        ("output_blocks.5.2.conv.weight", (1280, 1280, 3, 3)),
        ("output_blocks.8.2.conv.bias", (640,)),
        ("output_blocks.11.1.proj_out.weight", (320, 320)),
        ("out.0.weight", (320,)),
        ("out.2.weight", (4, 320, 3, 3)),
    ],
)
def test_well_known_keys_of_stable_diffusion(name: str, shape: tuple[int, ...], sd21: UNet2DConditionModel):
    assert tuple(ldm_state(sd21)[name].shape) == shape


def test_the_sixteen_addresses_of_stable_diffusion_in_forward_order(sd21: UNet2DConditionModel):
    assert list(block_addresses(sd21)) == SD21_ADDRESSES


def test_the_addresses_of_sg_mini_in_forward_order(mini: UNet2DConditionModel):
    assert list(block_addresses(mini)) == MINI_ADDRESSES


@pytest.mark.parametrize("which", ["sd21", "mini"])
def test_an_address_is_where_its_parameters_are(which: str, request: pytest.FixtureRequest):
    model = request.getfixturevalue(which)
    parameters = {ldm_name(model, name): parameter for name, parameter in model.named_parameters()}
    for address, block in block_addresses(model).items():
        assert parameters[f"{address}.transformer_blocks.0.norm1.weight"] is block.norm1.weight


def test_addresses_are_met_in_this_order(base):
    met: list[str] = []
    for address, block in block_addresses(base.unet).items():
        block.register_forward_pre_hook(lambda *_, address=address: met.append(address))
    base.unet(torch.zeros(1, 4, 16, 16), 1, torch.zeros(1, 77, 128))
    assert met == list(block_addresses(base.unet))


@pytest.mark.parametrize("name", ["encoder.conv_in.weight", "down_blocks", "class_embedding.weight"])
def test_what_is_no_part_of_such_a_unet_is_refused(name: str, mini: UNet2DConditionModel):
    with pytest.raises(ValueError, match="not a part of a Stable Diffusion UNet"):
        ldm_name(mini, name)
