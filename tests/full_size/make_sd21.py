"""Writes Stable Diffusion 2.1 at its full size with random weights: what the slow tests and the benchmarks run on.

    python tests/full_size/make_sd21.py

The official weights are on no machine that tests may count on. These have their names, shapes and dtype, are seeded,
and lie in a cache folder: a single-file checkpoint for each prediction type, a diffusers folder of the first one, and
an adapter of each kind for it. They draw noise, and compute as the real ones do.
"""

import re
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, UNet2DConditionModel
from make_sd21_adapters import GLIGEN_FILE, LORA, make_adapters
from torch import Tensor

from sg_models.files.safetensors_file import write_weights
from train.bases.ldm_names import UNET_PREFIX, ldm_names
from train.bases.stable_diffusion_2 import OPEN_CLIP_PREFIXES, TEXT_MODEL, UNET, load_checkpoint
from train.bases.stable_diffusion_files import AUTOENCODER

CACHE = Path.home() / ".cache" / "scene-graph-conditioning" / "sd21-random"
FLAVOURS = {"sd21-base": "epsilon", "sd21": "v_prediction"}
# ComfyUI takes a checkpoint for one that predicts velocity where this tensor's standard deviation exceeds 0.09
TELLTALE = f"{UNET_PREFIX}output_blocks.11.1.transformer_blocks.0.norm1.bias"
NORM_SPREAD, BIAS_SPREAD, TELLTALE_SPREAD = 0.1, 0.02, 0.2
TEXT_LAYERS = TEXT_MODEL["num_hidden_layers"] + 1  # files have the last layer too, which nothing is conditioned on


@dataclass
class Config:
    out: Path = CACHE
    seed: int = 0


def checkpoint(folder: Path, name: str) -> Path:
    """The single-file checkpoint of `sd21` or `sd21-base` in a folder that this script wrote."""
    return folder / f"{name}.safetensors"


def is_complete(folder: Path) -> bool:
    """Whether `make` has finished there."""
    return all((folder / name).exists() for name in (GLIGEN_FILE, LORA))  # what it writes last


def shapes() -> dict[str, tuple[int, ...]]:
    """The shape of every tensor of a checkpoint, by its name there."""
    with init_empty_weights():
        unet, vae = UNet2DConditionModel(**UNET), AutoencoderKL(**AUTOENCODER)
    own = unet.state_dict()
    found = {UNET_PREFIX + ldm: tuple(own[name].shape) for name, ldm in ldm_names(unet).items()}
    for name, tensor in vae.state_dict().items():
        square = re.search(r"attentions.*to_\w+.*weight$", name)  # 1 × 1 convolutions in files, linear in diffusers
        found[f"first_stage_model.{_vae_name(name)}"] = (*tensor.shape, *([1, 1] if square else []))
    return found | {OPEN_CLIP_PREFIXES[0] + name: shape for name, shape in _text_shapes().items()}


def random_tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Weights of a size that keeps activations about as large as they come in; the same for the same name and seed."""
    generator = torch.Generator().manual_seed(seed * 2**32 + zlib.crc32(name.encode()))
    noise = torch.randn(shape, generator=generator)
    if len(shape) > 1:
        return noise * (torch.tensor(shape[1:]).prod().item() ** -0.5)
    is_scale = name.endswith("weight")
    return 1 + NORM_SPREAD * noise if is_scale else BIAS_SPREAD * noise


def _text_shapes() -> dict[str, tuple[int, ...]]:
    width, hidden = TEXT_MODEL["hidden_size"], TEXT_MODEL["intermediate_size"]
    layer = {"attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,)}
    for part, out, into in (
        ("attn.out_proj", width, width),
        ("mlp.c_fc", hidden, width),
        ("mlp.c_proj", width, hidden),
    ):
        layer |= {f"{part}.weight": (out, into), f"{part}.bias": (out,)}
    norms = {f"{norm}.{kind}": (width,) for norm in ("ln_1", "ln_2") for kind in ("weight", "bias")}
    found = {
        f"transformer.resblocks.{i}.{name}": shape
        for i in range(TEXT_LAYERS)
        for name, shape in (layer | norms).items()
    }
    return found | {
        "token_embedding.weight": (TEXT_MODEL["vocab_size"], width),
        "positional_embedding": (TEXT_MODEL["max_position_embeddings"], width),
        "ln_final.weight": (width,),
        "ln_final.bias": (width,),
        "text_projection": (width, width),
        "logit_scale": (),
    }


def _vae_name(name: str) -> str:
    """The name of an autoencoder's parameter in checkpoints, by diffusers' name."""
    last = len(AUTOENCODER["block_out_channels"]) - 1
    name = re.sub(r"up_blocks\.(\d)", lambda m: f"up.{last - int(m[1])}", name)
    for ours, theirs in (
        (r"down_blocks\.", "down."),
        (r"mid_block\.resnets\.0", "mid.block_1"),
        (r"mid_block\.resnets\.1", "mid.block_2"),
        (r"mid_block\.attentions\.0", "mid.attn_1"),
        (r"\.resnets\.", ".block."),
        (r"\.(down|up)samplers\.0", r".\1sample"),
        (r"conv_shortcut", "nin_shortcut"),
        (r"conv_norm_out", "norm_out"),
        (r"group_norm", "norm"),
        (r"to_out\.0", "proj_out"),
        (r"to_(q|k|v)\.", r"\1."),
    ):
        name = re.sub(ours, theirs, name)
    return name


def make(out: Path, seed: int) -> None:
    """Writes both checkpoints and the folder."""
    tensors = {name: random_tensor(name, shape, seed).half() for name, shape in shapes().items()}
    for name, prediction_type in FLAVOURS.items():
        if prediction_type == "v_prediction":
            tensors[TELLTALE] = tensors[TELLTALE] * (TELLTALE_SPREAD / BIAS_SPREAD)
        write_weights(checkpoint(out, name), tensors, {})
    name, prediction_type = next(iter(FLAVOURS.items()))
    base = load_checkpoint(checkpoint(out, name), prediction_type)
    for part in ("unet", "vae", "text_encoder"):
        getattr(base, part).half().save_pretrained(out / name / part)
    base.scheduler.save_pretrained(out / name / "scheduler")
    base.tokenizer.save_pretrained(out / name / "tokenizer")
    make_adapters(load_checkpoint(checkpoint(out, name), prediction_type), out, seed)


if __name__ == "__main__":
    config = tyro.cli(Config, description=__doc__)
    make(config.out, config.seed)
    print(config.out)
