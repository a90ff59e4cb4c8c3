"""Stable Diffusion 1.x and 2.x in their exact layouts, with GLIGEN's layers, random weights and few channels."""

from copy import deepcopy
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from train.bases.clip_tokenizer import clip_tokenizer
from train.bases.ldm_names import block_addresses
from train.bases.stable_diffusion_1 import GENERATION as FIRST
from train.bases.stable_diffusion_2 import GENERATION as SECOND
from train.bases.stable_diffusion_files import SCHEDULE, Generation

GENERATIONS = {"sd15": FIRST, "sd21-base": SECOND, "sd21": SECOND}
PREDICTIONS = {"sd15": "epsilon", "sd21-base": "epsilon", "sd21": "v_prediction"}
FEW_CHANNELS = {"block_out_channels": (64, 64, 128, 128), "sample_size": 16}
FEW_LAYERS = {"num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4}
SPREAD = 0.05  # of what would be zero at the start, which makes comparisons trivial


def small_unet(generation: Generation) -> UNet2DConditionModel:
    """A UNet with open gates."""
    heads = {} if generation is FIRST else {"attention_head_dim": (1, 1, 2, 2)}  # of 64 channels each
    unet = UNet2DConditionModel(**{**generation.unet, **FEW_CHANNELS, **heads}, attention_type="gated")
    return open_gates(unet)


def open_gates(unet: UNet2DConditionModel) -> UNet2DConditionModel:
    """Gates of 0.5 and 0.7, and nulls that are none."""
    unet.requires_grad_(False)
    for block in block_addresses(unet).values():
        block.fuser.alpha_attn.fill_(0.5)
        block.fuser.alpha_dense.fill_(0.7)
    for null in (unet.position_net.null_positive_feature, unet.position_net.null_position_feature):
        nn.init.normal_(null)
    return unet


def write_small_stable_diffusion(folder: Path, name: str) -> Path:
    """Writes a base of a name with GLIGEN's layers as a diffusers folder."""
    torch.manual_seed(0)
    generation = GENERATIONS[name]
    small_unet(generation).save_pretrained(folder / "unet")
    text = CLIPTextModel(CLIPTextConfig(**{**generation.text_model, **FEW_LAYERS})).half()
    text.save_pretrained(folder / "text_encoder")
    AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4,
        block_out_channels=[32] * 4,
        latent_channels=4,
    ).save_pretrained(folder / "vae")
    DDIMScheduler(**SCHEDULE, prediction_type=PREDICTIONS[name]).save_pretrained(folder / "scheduler")
    tokenizer = deepcopy(clip_tokenizer())  # which all share
    tokenizer.model_max_length = 77
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(generation.pad_id)
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder
