"""Stable Diffusion 2.x: its sizes, and how it is read."""

from collections.abc import Mapping
from pathlib import Path

from diffusers.loaders.single_file_utils import convert_open_clip_checkpoint
from torch import Tensor
from transformers import CLIPTextModel

from sg_models.bases.known_bases import BASES, EPSILON, STABLE_DIFFUSION_2
from sg_models.files.safetensors_file import WeightsFileError
from train.bases import stable_diffusion_files
from train.bases.base_model import BaseModel
from train.bases.empty_base import EmptyBase
from train.bases.stable_diffusion_files import Generation, PredictionType, empty_generation, load_folder, load_release
from train.running.command_line import UsageError

OPEN_CLIP_PREFIXES = ("cond_stage_model.model.", "conditioner.embedders.0.model.")  # ldm's and sgm's
CONTEXT_DIM = 1024

# diffusers.UNet2DConditionModel
UNET = {
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": (*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"),
    "up_block_types": ("UpBlock2D", *["CrossAttnUpBlock2D"] * 3),
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
    "cross_attention_dim": CONTEXT_DIM,
    "attention_head_dim": (5, 10, 20, 20),  # diffusers means the number of heads
    "use_linear_projection": True,
    "upcast_attention": True,
}

# transformers.CLIPTextModel: OpenCLIP ViT-H without its last layer, as the UNet is conditioned on the one before it
TEXT_MODEL = {
    "vocab_size": 49408,
    "hidden_size": CONTEXT_DIM,
    "intermediate_size": 4096,
    "projection_dim": 1024,
    "num_hidden_layers": 23,
    "num_attention_heads": 16,
    "max_position_embeddings": 77,
    "hidden_act": "gelu",
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 0,
}


def _text_state(path: Path, text_model: CLIPTextModel, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = next((p for p in OPEN_CLIP_PREFIXES if f"{p}positional_embedding" in tensors), None)
    if prefix is None:
        raise WeightsFileError(f"{path} has no OpenCLIP text model; take the whole checkpoint, not its UNet alone")
    return convert_open_clip_checkpoint(text_model, dict(tensors), prefix)


GENERATION = Generation("Stable Diffusion 2.x", STABLE_DIFFUSION_2, UNET, TEXT_MODEL, 0, _text_state)


def load_stable_diffusion_2(base: str, prediction_type: PredictionType | None) -> BaseModel:
    """A release by its name, a .safetensors checkpoint, a diffusers folder, or a hub id, in float32.

    What it predicts comes from a folder's scheduler, from a release's name, or, for a checkpoint, from
    `prediction_type`. Raises `UsageError` where that is missing or contradicts, `WeightsFileError` for a checkpoint
    that is damaged or another model.
    """
    if base in BASES:
        return load_release(GENERATION, BASES[base], prediction_type)
    if not base.endswith(".safetensors"):
        return load_folder(GENERATION, base, prediction_type)
    if prediction_type is None:
        raise UsageError(
            f"{base} does not say what it predicts; add --prediction-type epsilon (2.1-base, 512 pixels) or "
            "--prediction-type v_prediction (2.1, 768 pixels)"
        )
    return load_checkpoint(Path(base), prediction_type)


def load_checkpoint(path: Path, prediction_type: str) -> BaseModel:
    """A single-file checkpoint under the names of ldm or sgm, with an OpenCLIP text model."""
    return stable_diffusion_files.load_checkpoint(GENERATION, path, prediction_type)


def empty_stable_diffusion_2(base: str) -> EmptyBase:
    """The sizes of a release, of a checkpoint, or of the folder or hub id, of which only configurations are read."""
    return empty_generation(GENERATION, base, BASES[base].prediction_type if base in BASES else EPSILON)
