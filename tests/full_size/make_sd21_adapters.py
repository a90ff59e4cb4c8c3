"""Adapters of each kind for Stable Diffusion 2.1-base at its full size, with random weights, none of them at zero."""

from pathlib import Path

import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from sg_models.adapters.adapter import Adapter, write_adapter
from sg_models.adapters.gligen_adapter import GligenAdapter
from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.layout_adapter import CONTROLNET, LayoutAdapter
from sg_models.adapters.variants import GLIGEN, GSA, LAYOUT_CONTROLNET
from sg_models.files.safetensors_file import write_weights
from train.bases.base_model import BaseModel
from train.bases.ldm_names import controlnet_ldm_names
from train.bases.stable_diffusion_2 import CONTEXT_DIM
from train.conditioning.grounded_unet import block_sizes
from train.conditioning.lora import inject, lora_tensors
from train.objectives import gsa, layout

GATE, CHANGE, LORA_RANK, LORA_SPREAD = 0.5, 0.02, 16, 0.05
GSA_FILE, CONTROLNET_FILE, LORA = "gsa.safetensors", "controlnet.safetensors", "lora.safetensors"
GLIGEN_FILE = "gligen.safetensors"


@torch.no_grad()
def make_adapters(base: BaseModel, out: Path, seed: int) -> None:
    """Writes a GSA adapter, a layout ControlNet, GLIGEN's layers and a LoRA."""
    torch.manual_seed(seed)
    sizes = gsa.adapter_sizes(gsa.GSASizes(), base.unet, CONTEXT_DIM)
    adapter = GSAAdapter(sizes)
    for name, parameter in adapter.named_parameters():
        if ".alpha_" in name:
            parameter.fill_(GATE)
    _write(out / GSA_FILE, GSA, base, sizes, dict(adapter.state_dict()))
    sizes = layout.adapter_sizes(layout.LayoutSizes(), CONTEXT_DIM)
    predictor = LayoutAdapter(sizes)
    controlnet = ControlNetModel.from_unet(base.unet, conditioning_channels=sizes["channels"])
    _off_zero(controlnet)
    names, state = controlnet_ldm_names(controlnet), controlnet.state_dict()
    tensors = {CONTROLNET + names[k]: v for k, v in state.items()} | dict(predictor.state_dict())
    _write(out / CONTROLNET_FILE, LAYOUT_CONTROLNET, base, sizes, tensors)
    make_gligen(base, out)
    inject(base.unet, LORA_RANK)
    for name, parameter in base.unet.named_parameters():
        if ".lora_B." in name:
            nn.init.normal_(parameter, std=LORA_SPREAD)
    write_weights(out / LORA, {name: tensor.half() for name, tensor in lora_tensors(base.unet).items()}, {})


def make_gligen(base: BaseModel, out: Path) -> None:
    """Writes an adapter of GLIGEN's sizes."""
    sizes = {"phrase_dim": CONTEXT_DIM, "token_dim": CONTEXT_DIM, "blocks": block_sizes(base.unet)}
    adapter = GligenAdapter(sizes).requires_grad_(False)
    for name, parameter in adapter.named_parameters():
        if ".alpha_" in name:
            parameter.fill_(GATE)
        elif ".null_" in name:
            nn.init.normal_(parameter)
    _write(out / GLIGEN_FILE, GLIGEN, base, sizes, dict(adapter.state_dict()))


def _off_zero(controlnet: ControlNetModel) -> None:
    """Gives what starts at zero a small random value: a zero would make every comparison trivial."""
    for parameter in controlnet.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=CHANGE)


def _write(path: Path, kind: str, base: BaseModel, sizes: dict, tensors: dict[str, Tensor]) -> None:
    state = {name: tensor.half() for name, tensor in tensors.items()}
    write_adapter(path, Adapter(kind, base.name, base.prediction_type, "clip", sizes, "none", 0, state))
