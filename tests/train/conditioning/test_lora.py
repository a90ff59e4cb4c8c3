"""The LoRA of variant (ii): nothing at first, all of it in the file, and the same again when it is read."""

from pathlib import Path

import pytest
import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D

from sg_models.adapters.adapter import AdapterError
from sg_models.files.safetensors_file import write_weights
from train.bases.ldm_names import ldm_names
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.lora import PARTS, PREFIX, inject, load_lora, lora_tensors

RANK = 4


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    noisy, context = torch.randn(2, 4, 16, 16, generator=generator), torch.randn(2, 77, 128, generator=generator)
    return noisy, torch.tensor([900, 10]), context


def trained(base) -> None:
    """A LoRA that looks as if it had been trained."""
    inject(base.unet, RANK)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in base.unet.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def test_a_new_lora_leaves_the_unet_bit_for_bit_and_alone_is_trainable(base):
    before = base.unet(*inputs()).sample
    inject(base.unet, RANK)
    assert torch.equal(base.unet(*inputs()).sample, before)
    assert {"lora_" in name for name, p in base.unet.named_parameters() if p.requires_grad} == {True}


@torch.no_grad()
def test_the_file_gives_the_same_unet_again(base, sg_mini_checkpoint: Path, tmp_path: Path):
    before = base.unet(*inputs()).sample
    trained(base)
    after, path = base.unet(*inputs()).sample, tmp_path / "lora.safetensors"
    assert not torch.allclose(after, before, atol=1e-4)
    write_weights(path, lora_tensors(base.unet), {})
    other = load_sg_mini(sg_mini_checkpoint).freeze()
    load_lora(other.unet, path)
    torch.testing.assert_close(other.unet(*inputs()).sample, after)


def test_every_name_is_a_weight_of_the_checkpoint(base):
    known = {name.removesuffix(".weight") for name in ldm_names(base.unet).values()}
    trained(base)
    names = set(lora_tensors(base.unet))
    blocks = [part for part in base.unet.modules() if isinstance(part, BasicTransformerBlock)]
    resnets = [part for part in base.unet.modules() if isinstance(part, ResnetBlock2D)]
    # two attentions of four layers and two feed-forward layers in each block, one more on either side; two convolutions
    assert len(names) == 2 * ((2 * 4 + 2 + 2) * len(blocks) + 2 * len(resnets)) > 0
    for name in names:
        part = next(part for part in PARTS if name.endswith(part))
        assert name.removeprefix(PREFIX).removesuffix(part) in known


def test_a_lora_of_another_unet_is_refused_in_words(base, tmp_path: Path):
    path = tmp_path / "other.safetensors"
    write_weights(path, {f"diffusion_model.x{PARTS[0]}": torch.zeros(4, 8)}, {})
    with pytest.raises(AdapterError, match="LoRA for another UNet"):
        load_lora(base.unet, path)
