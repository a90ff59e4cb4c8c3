"""Stable Diffusion 1.x: its sizes, and how it is read and told from 2.x."""

from collections.abc import Mapping
from pathlib import Path

from diffusers import UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint
from torch import Tensor
from transformers import CLIPTextModel

from sg_models.bases.known_bases import BASES, EPSILON, STABLE_DIFFUSION_1
from sg_models.files.safetensors_file import WeightsFileError, tensor_names
from train.bases.base_model import BaseModel
from train.bases.empty_base import EmptyBase
from train.bases.stable_diffusion_2 import UNET as UNET_2
from train.bases.stable_diffusion_files import (
    Generation,
    PredictionType,
    empty_generation,
    load_checkpoint,
    load_folder,
    load_release,
)
from train.running.command_line import UsageError

CONTEXT_DIM, END_OF_TEXT = 768, 49407
TEXT_PREFIX = "cond_stage_model.transformer."

# diffusers.UNet2DConditionModel
UNET = UNET_2 | {
    "cross_attention_dim": CONTEXT_DIM,
    "attention_head_dim": 8,  # diffusers means the number of heads
    "use_linear_projection": False,
    "upcast_attention": False,
}

# transformers.CLIPTextModel: OpenAI's CLIP ViT-L, all of it, as the UNet is conditioned on its last layer
TEXT_MODEL = {
    "vocab_size": 49408,
    "hidden_size": CONTEXT_DIM,
    "intermediate_size": 3072,
    "projection_dim": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "max_position_embeddings": 77,
    "hidden_act": "quick_gelu",
    "bos_token_id": 49406,
    "eos_token_id": END_OF_TEXT,
    "pad_token_id": END_OF_TEXT,
}


def _text_state(path: Path, text_model: CLIPTextModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = convert_ldm_clip_checkpoint(dict(tensors))
    if not found:
        raise WeightsFileError(f"{path} has no CLIP text model; take the whole checkpoint, not its UNet alone")
    return found


GENERATION = Generation("Stable Diffusion 1.x", STABLE_DIFFUSION_1, UNET, TEXT_MODEL, END_OF_TEXT, _text_state)


def is_stable_diffusion_1(base: str) -> bool:
    """Whether a .safetensors checkpoint, a diffusers folder or a hub id is of 1.x, by the width of its prompts."""
    if base.endswith(".safetensors"):
        return any(name.startswith(TEXT_PREFIX) for name in tensor_names(Path(base)))
    try:
        return UNet2DConditionModel.load_config(base, subfolder="unet").get("cross_attention_dim") == CONTEXT_DIM
    except OSError:  # there is no such base; whoever loads it says so
        return False


def load_stable_diffusion_1(base: str, prediction_type: PredictionType | None) -> BaseModel:
    """A release by its name, a .safetensors checkpoint, a diffusers folder, or a hub id, in float32.

    Raises `UsageError` for another prediction than the noise, `WeightsFileError` for a checkpoint that is damaged or
    another model.
    """
    if prediction_type not in (None, EPSILON):
        raise UsageError(f"Stable Diffusion 1.x predicts {EPSILON}; leave --prediction-type out")
    if base in BASES:
        return load_release(GENERATION, BASES[base], prediction_type)
    if base.endswith(".safetensors"):
        return load_checkpoint(GENERATION, Path(base), EPSILON)
    return load_folder(GENERATION, base, prediction_type)


def empty_stable_diffusion_1(base: str) -> EmptyBase:
    """The sizes of a release, of a checkpoint, or of the folder or hub id, of which only configurations are read."""
    return empty_generation(GENERATION, base, EPSILON)
