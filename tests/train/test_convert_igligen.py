"""GLIGEN's weights as a start: our layers compute what diffusers' own do with them."""

from pathlib import Path

import pytest
import torch
from accelerate import init_empty_weights
from diffusers import DDIMScheduler, UNet2DConditionModel

from sg_models.adapters.adapter import AdapterError, read_adapter
from sg_models.adapters.variants import GSA_START
from sg_models.bases import sg_mini
from sg_models.layers.gated_attention import TOKEN_EXTRAS, GatedSelfAttentionBlocks, Grounding
from train.bases.ldm_names import block_addresses
from train.bases.stable_diffusion_2 import UNET
from train.conditioning.grounded_unet import block_sizes
from train.conditioning.initial_weights import start_from
from train.convert_igligen import Config, main

CONTEXT_DIM, TOKENS, SIZE = 1024, 5, (6, 4)
PARAMETERS = 211.2e6  # of the gated self-attention in IGLIGEN's UNet for SD 2.1: 5 blocks of 320, 5 of 640, 6 of 1280


@pytest.fixture(scope="module")
def unet() -> UNet2DConditionModel:
    """As small as SG-Mini's, with GLIGEN's layers, all of them random, and SD 2.1's width of text."""
    torch.manual_seed(0)
    sizes = sg_mini.UNET | {"cross_attention_dim": CONTEXT_DIM, "attention_type": "gated"}
    unet = UNet2DConditionModel(**sizes).requires_grad_(False)
    for block in block_addresses(unet).values():
        for gate in (block.fuser.alpha_attn, block.fuser.alpha_dense):
            gate.fill_(0.7)
    return unet


@pytest.fixture(scope="module")
def source(unet: UNet2DConditionModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("igligen")
    unet.save_pretrained(folder / "unet")
    DDIMScheduler(prediction_type="epsilon").save_pretrained(folder / "scheduler")
    return folder


@pytest.fixture(scope="module")
def start(source: Path) -> Path:
    out = source / "start.safetensors"
    main(Config(str(source), out=out))
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
        half_weights = 2e-3  # the file is in float16
        torch.testing.assert_close(ours, block.fuser(x, content), atol=half_weights, rtol=half_weights)


def test_the_file_says_what_it_is(start: Path):
    file = read_adapter(start)
    assert (file.kind, file.base, file.prediction_type) == (GSA_START, "sd21-base", "epsilon")
    with pytest.raises(AdapterError, match="kind gsa-start"):
        file.check_kind("gsa")


def test_a_unet_without_gligens_layers_is_refused_in_words(tmp_path: Path):
    UNet2DConditionModel(**sg_mini.UNET | {"cross_attention_dim": CONTEXT_DIM}).save_pretrained(tmp_path / "unet")
    DDIMScheduler().save_pretrained(tmp_path / "scheduler")
    with pytest.raises(AdapterError, match=r"no gated self-attention at input_blocks.1.1.*--source"):
        main(Config(str(tmp_path), out=tmp_path / "out.safetensors"))
    assert not (tmp_path / "out.safetensors").exists()


def test_stable_diffusion_1_is_refused_in_words(source: Path, tmp_path: Path):
    sizes = sg_mini.UNET | {"cross_attention_dim": 768, "attention_type": "gated"}
    UNet2DConditionModel(**sizes).save_pretrained(tmp_path / "unet")
    DDIMScheduler().save_pretrained(tmp_path / "scheduler")
    with pytest.raises(AdapterError, match="768 numbers.*igligen-sd2.1"):
        main(Config(str(tmp_path), out=tmp_path / "out.safetensors"))


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
    main(Config(str(tmp_path), out=tmp_path / "start.safetensors"))
    written = read_adapter(tmp_path / "start.safetensors").state_dict
    blocks = block_addresses(unet)
    assert len(blocks) == 16
    for address, block in blocks.items():
        for name, tensor in block.fuser.state_dict().items():
            assert torch.equal(written.pop(f"gated_attention.{address}.{name}"), tensor), (address, name)
    assert not written
    fusers = sum(p.numel() for block in blocks.values() for p in block.fuser.parameters())
    assert fusers == pytest.approx(PARAMETERS, rel=1e-3)
