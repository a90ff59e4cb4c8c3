"""Stable Diffusion 2.x in the forms that it is passed around in: a release's name, a checkpoint, a diffusers folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint, convert_open_clip_checkpoint
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from sg_models.bases.known_bases import BASES, EPSILON, STABLE_DIFFUSION_2, Base, find_base
from sg_models.files.safetensors_file import WeightsFileError, read_weights
from train.bases.base_model import DOWNSAMPLING, BaseModel
from train.bases.clip_tokenizer import clip_tokenizer
from train.bases.empty_base import EmptyBase
from train.bases.ldm_names import UNET_PREFIX, ldm_names
from train.bases.model_folders import CHECKPOINTS
from train.running.command_line import UsageError

PredictionType = Literal["epsilon", "v_prediction"]
PREDICTIONS = get_args(PredictionType)
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

# diffusers.AutoencoderKL
AUTOENCODER = {
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}

SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


def load_stable_diffusion_2(base: str, prediction_type: PredictionType | None) -> BaseModel:
    """A release by its name, a .safetensors checkpoint, a diffusers folder, or a hub id, in float32.

    What it predicts comes from a folder's scheduler, from a release's name, or, for a checkpoint, from
    `prediction_type`. Raises `UsageError` where that is missing or contradicts, `WeightsFileError` for a checkpoint
    that is damaged or another model.
    """
    if base in BASES:
        return load_release(BASES[base], prediction_type)
    if not base.endswith(".safetensors"):
        return load_folder(base, prediction_type)
    if prediction_type is None:
        raise UsageError(
            f"{base} does not say what it predicts; add --prediction-type epsilon (2.1-base, 512 pixels) or "
            "--prediction-type v_prediction (2.1, 768 pixels)"
        )
    return load_checkpoint(Path(base), prediction_type)


def load_release(release: Base, prediction_type: PredictionType | None) -> BaseModel:
    """A release: its checkpoint where that lies in a models folder, else its mirror."""
    if prediction_type not in (None, release.prediction_type):
        raise UsageError(f"{release.name} predicts {release.prediction_type}; leave --prediction-type out")
    if found := checkpoint_of(release):
        return load_checkpoint(found, release.prediction_type)
    assert release.mirror is not None
    return load_folder(release.mirror, release.prediction_type)


def empty_stable_diffusion_2(base: str) -> EmptyBase:
    """The sizes of a release, of a checkpoint, or of the folder or hub id, of which only configurations are read."""
    if base in BASES or base.endswith(".safetensors"):
        prediction_type = BASES[base].prediction_type if base in BASES else EPSILON
        return EmptyBase(
            UNet2DConditionModel(sample_size=_sample_size(prediction_type), **UNET),
            CLIPTextModel(CLIPTextConfig(**TEXT_MODEL)),
            AutoencoderKL(**AUTOENCODER),
        )
    return EmptyBase(
        UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(base, subfolder="unet")),
        CLIPTextModel(CLIPTextConfig.from_pretrained(base, subfolder="text_encoder")),
        AutoencoderKL.from_config(AutoencoderKL.load_config(base, subfolder="vae")),
    )


def release_that_predicts(prediction_type: str) -> Base:
    """The release whose name adapter files give to any base that predicts so."""
    release = find_base(STABLE_DIFFUSION_2, prediction_type)
    if release is None:
        raise WeightsFileError(
            f"no Stable Diffusion 2.x predicts {prediction_type!r}; known are {', '.join(PREDICTIONS)}"
        )
    return release


def _sample_size(prediction_type: str) -> int:
    return release_that_predicts(prediction_type).side // DOWNSAMPLING


def checkpoint_of(release: Base) -> Path | None:
    """Where a release's checkpoint lies, if it does: in our models folder, or in that of the ComfyUI around us."""
    comfyui = CHECKPOINTS.parents[3] / "models" / "checkpoints"
    return next((f / release.checkpoint for f in (CHECKPOINTS, comfyui) if (f / release.checkpoint).is_file()), None)


def load_folder(base: str, prediction_type: str | None) -> BaseModel:
    """A diffusers folder, or what a hub id names."""
    # transformers and diffusers warn about every unused key of a sub-folder
    transformers_logging.set_verbosity_error()
    try:
        scheduler = DDIMScheduler.from_pretrained(base, subfolder="scheduler")
    except OSError as error:
        raise UsageError(
            f"there is no base {base}: neither a folder in diffusers' layout nor a hub id that can be reached "
            f"({str(error).splitlines()[0]})"
        ) from error
    said = scheduler.config["prediction_type"]
    if prediction_type not in (None, said):
        raise UsageError(f"{base} predicts {said}, as its scheduler says; leave --prediction-type out")
    weights: dict[str, Any] = {"torch_dtype": torch.float32}
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", **weights)
    if unet.config["cross_attention_dim"] != CONTEXT_DIM or unet.config["in_channels"] != 4:
        raise WeightsFileError(_other_model(base, unet.config["cross_attention_dim"], unet.config["in_channels"]))
    return BaseModel(
        release_that_predicts(said).name,
        CLIPTokenizer.from_pretrained(base, subfolder="tokenizer"),
        CLIPTextModel.from_pretrained(base, subfolder="text_encoder", dtype=torch.float32),
        unet,
        AutoencoderKL.from_pretrained(base, subfolder="vae", **weights),
        scheduler,
    )


def load_checkpoint(path: Path, prediction_type: str) -> BaseModel:
    """A single-file checkpoint under the names of ldm or sgm, with an OpenCLIP text model."""
    tensors, _ = read_weights(path)
    prefix = next((p for p in OPEN_CLIP_PREFIXES if f"{p}positional_embedding" in tensors), None)
    _check_unet(path, tensors)
    if prefix is None:
        raise WeightsFileError(f"{path} has no OpenCLIP text model; take the whole checkpoint, not its UNet alone")
    with init_empty_weights():
        unet = UNet2DConditionModel(sample_size=_sample_size(prediction_type), **UNET)
        text_encoder, vae = CLIPTextModel(CLIPTextConfig(**TEXT_MODEL)), AutoencoderKL(**AUTOENCODER)
    text = convert_open_clip_checkpoint(text_encoder, tensors, prefix)
    _fill(path, unet, {k: tensors.get(UNET_PREFIX + ldm) for k, ldm in ldm_names(unet).items()})
    # transformers 5 has the text model's names one level further up
    _fill(path, text_encoder, {k: text.get(f"text_model.{k}", text.get(k)) for k in text_encoder.state_dict()})
    autoencoder = convert_ldm_vae_checkpoint(tensors, vae.config)
    _fill(path, vae, {k: autoencoder.get(k) for k in vae.state_dict()})
    scheduler = DDIMScheduler(prediction_type=prediction_type, **SCHEDULE)
    name = release_that_predicts(prediction_type).name
    return BaseModel(name, clip_tokenizer(), text_encoder.eval(), unet.eval(), vae.eval(), scheduler)


def _check_unet(path: Path, tensors: Mapping[str, Tensor]) -> None:
    context = tensors.get(f"{UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    first = tensors.get(f"{UNET_PREFIX}input_blocks.0.0.weight")
    if context is None or first is None:
        raise WeightsFileError(f"{path} is no checkpoint of Stable Diffusion 2.x: it has no UNet with its names")
    if (context.shape[1], first.shape[1]) != (CONTEXT_DIM, UNET["in_channels"]):
        raise WeightsFileError(_other_model(path, context.shape[1], first.shape[1]))


def _other_model(where: Path | str, context_dim: int, channels: int) -> str:
    return (
        f"{where} is not a Stable Diffusion 2.x that draws from text: its UNet takes {channels} channels and a text of "
        f"{context_dim} numbers, not {UNET['in_channels']} and {CONTEXT_DIM}; 768 is Stable Diffusion 1.x, 9 channels "
        "are inpainting"
    )


def _fill(path: Path, module: nn.Module, state: Mapping[str, Tensor | None]) -> None:
    own = module.state_dict()
    wrong = [name for name, tensor in state.items() if tensor is None or tensor.numel() != own[name].numel()]
    if wrong:
        raise WeightsFileError(
            f"{path} is no whole checkpoint of Stable Diffusion 2.x: {wrong[0]} and {len(wrong) - 1} more tensors are "
            "missing or of another size"
        )
    module.load_state_dict({k: v.float().reshape(own[k].shape) for k, v in state.items() if v is not None}, assign=True)
