"""GLIGEN's weights as an adapter, and as a start: our layers compute what diffusers' own do with them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import DDIMScheduler, UNet2DConditionModel

from sg_models.adapters.adapter import AdapterError, read_adapter
from sg_models.adapters.gligen_adapter import build_gligen_adapter
from sg_models.adapters.variants import GLIGEN, GSA_START
from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import read_weights, write_weights
from sg_models.layers.gated_attention import TOKEN_EXTRAS, GatedSelfAttentionBlocks, Grounding
from train.bases.ldm_names import block_addresses
from train.bases.stable_diffusion_2 import UNET
from train.conditioning.grounded_unet import block_sizes
from train.conditioning.initial_weights import start_from
from train.convert_igligen import Config, gligen_tensors, main

CONTEXT_DIM, TOKENS, SIZE = 1024, 5, (6, 4)
PARAMETERS = 211.2e6  # of the gated self-attention in IGLIGEN's UNet for SD 2.1: 5 blocks of 320, 5 of 640, 6 of 1280
HALF = 2e-3  # what the rounding of a float16 file may change


@pytest.fixture(scope="module")
def source(gligen_folder: Callable[[str], Path]) -> Path:
    """Stable Diffusion 2.1-base with few channels and GLIGEN's layers."""
    return gligen_folder("sd21-base")


@pytest.fixture(scope="module")
def unet(source: Path) -> UNet2DConditionModel:
    return UNet2DConditionModel.from_pretrained(source / "unet").requires_grad_(False)


@pytest.fixture(scope="module")
def start(source: Path) -> Path:
    out = source / "start.safetensors"
    main(Config(str(source), start=True, out=out))
    return out


@pytest.mark.parametrize("position_frequencies", [0, 8])
def test_our_layers_compute_what_gligens_do(unet: UNet2DConditionModel, start: Path, position_frequencies: int):
    class Module(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gated_attention = GatedSelfAttentionBlocks(block_sizes(unet), CONTEXT_DIM, position_frequencies)

    module = Module()
    start_from(module, read_adapter(start), "bert", 384)
    content = torch.randn(2, TOKENS, CONTEXT_DIM)
    everywhere_and_valid = torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0]).expand(2, TOKENS, TOKEN_EXTRAS)
    tokens = torch.cat([content, everywhere_and_valid], dim=-1)
    for address, block in block_addresses(unet).items():
        x = torch.randn(2, SIZE[0] * SIZE[1], block.norm1.normalized_shape[0])
        ours = module.gated_attention.block(address)(x, Grounding(tokens), SIZE)
        assert not torch.allclose(ours, x, atol=1e-2), "the gates are open"
        torch.testing.assert_close(ours, block.fuser(x, content), atol=HALF, rtol=HALF)


def test_the_position_net_makes_the_tokens_that_diffusers_does(
    source: Path, unet: UNet2DConditionModel, tmp_path: Path
):
    main(Config(str(source), out=tmp_path / "gligen.safetensors"))
    file = read_adapter(tmp_path / "gligen.safetensors")
    assert (file.kind, file.base, file.prediction_type) == (GLIGEN, "sd21-base", "epsilon")
    boxes, phrases = torch.rand(1, 30, 4), torch.randn(1, 30, CONTEXT_DIM)
    there = torch.arange(30)[None] < TOKENS
    with torch.no_grad():
        ours = build_gligen_adapter(file).position_net(phrases, boxes, there)
        torch.testing.assert_close(ours, unet.position_net(boxes, there.float(), phrases), atol=HALF, rtol=HALF)


def test_a_file_under_ldms_names_gives_the_same(source: Path, unet: UNet2DConditionModel, tmp_path: Path):
    """Which of the two 2.x it is for has to be said."""
    bare = tmp_path / "bare.safetensors"
    write_weights(bare, gligen_tensors(unet.half()), {})
    unet.float()
    with pytest.raises(AdapterError, match="sd21-base or sd21"):
        main(Config(str(bare)))
    for given, out in ((Config(str(bare), base="sd21-base"), "bare"), (Config(str(source)), "folder")):
        given.out = tmp_path / f"{out}-out.safetensors"
        main(given)
    one, other = (read_weights(tmp_path / f"{name}-out.safetensors") for name in ("bare", "folder"))
    assert one[1] == {**other[1], "modelspec.title": "bare-out"}
    assert one[0].keys() == other[0].keys() and all(torch.equal(one[0][name], other[0][name]) for name in one[0])
    assert "modelspec.license" not in one[1], "they are somebody else's"


def test_the_start_says_what_it_is(start: Path):
    file = read_adapter(start)
    assert (file.kind, file.base, file.prediction_type) == (GSA_START, "sd21-base", "epsilon")
    assert not any(name.startswith("position_net") for name in file.state_dict)
    with pytest.raises(AdapterError, match="kind gsa-start"):
        file.check_kind("gsa")


def test_another_base_than_the_folders_is_refused(source: Path, tmp_path: Path):
    with pytest.raises(AdapterError, match="1024 numbers that predicts epsilon: sd21-base, so leave --base out"):
        main(Config(str(source), base="sd21", out=tmp_path / "out.safetensors"))


def test_a_unet_without_gligens_layers_is_refused_in_words(tmp_path: Path):
    UNet2DConditionModel(**sg_mini.UNET | {"cross_attention_dim": CONTEXT_DIM}).save_pretrained(tmp_path / "unet")
    DDIMScheduler().save_pretrained(tmp_path / "scheduler")
    with pytest.raises(AdapterError, match=r"no gated self-attention at input_blocks.1.1.*--source"):
        main(Config(str(tmp_path), out=tmp_path / "out.safetensors"))
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.slow
def test_at_full_size_every_tensor_of_igligens_arrives(tmp_path: Path):
    with init_empty_weights():
        unet = UNet2DConditionModel(**UNET | {"attention_type": "gated"})
    unet = unet.half().to_empty(device="cpu").requires_grad_(False)
    torch.manual_seed(0)
    for parameter in unet.parameters():
        parameter.normal_(std=0.02)
    unet.save_pretrained(tmp_path / "unet")
    DDIMScheduler(prediction_type="epsilon").save_pretrained(tmp_path / "scheduler")
    main(Config(str(tmp_path), start=True, out=tmp_path / "start.safetensors"))
    written = read_adapter(tmp_path / "start.safetensors").state_dict
    blocks = block_addresses(unet)
    assert len(blocks) == 16
    for address, block in blocks.items():
        for name, tensor in block.fuser.state_dict().items():
            assert torch.equal(written.pop(f"gated_attention.{address}.{name}"), tensor), (address, name)
    assert not written
    fusers = sum(p.numel() for block in blocks.values() for p in block.fuser.parameters())
    assert fusers == pytest.approx(PARAMETERS, rel=1e-3)
