"""Stable Diffusion in the forms that it is passed around in: a release's name, a checkpoint, a diffusers folder.

What is the same for all its generations; `stable_diffusion_1.py` and `stable_diffusion_2.py` say what differs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from accelerate import init_empty_weights
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from diffusers.utils import logging as diffusers_logging
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
from transformers.utils import logging as transformers_logging

from sg_models.bases.known_bases import BASES, Base, find_base
from sg_models.files.safetensors_file import WeightsFileError, read_weights
from train.bases.base_model import DOWNSAMPLING, BaseModel
from train.bases.clip_tokenizer import clip_tokenizer
from train.bases.empty_base import EmptyBase
from train.bases.ldm_names import UNET_PREFIX, ldm_names
from train.bases.model_folders import CHECKPOINTS
from train.running.command_line import UsageError

PredictionType = Literal["epsilon", "v_prediction"]
PREDICTIONS = get_args(PredictionType)

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


@dataclass(frozen=True)
class Generation:
    """What tells one generation of Stable Diffusion from another.

    `text_state(path, text_model, tensors)` finds the weights of a text model in those of a checkpoint, under the names
    of transformers; raises `WeightsFileError` if there are none.
    """

    title: str  # for people
    family: str
    unet: Mapping[str, Any]  # of diffusers.UNet2DConditionModel
    text_model: Mapping[str, Any]  # of transformers.CLIPTextModel
    pad_id: int  # what fills a prompt up to 77 tokens
    text_state: Callable[[Path, CLIPTextModel, Mapping[str, Tensor]], dict[str, Tensor]]

    @property
    def context_dim(self) -> int:
        """The width of prompts."""
        return self.unet["cross_attention_dim"]

    def release(self, prediction_type: str) -> Base:
        """The release whose name adapter files give to any base that predicts so."""
        release = find_base(self.family, prediction_type)
        if release is None:
            known = [b.prediction_type for b in BASES.values() if b.family == self.family]
            raise WeightsFileError(f"no {self.title} predicts {prediction_type!r}; known are {', '.join(known)}")
        return release

    def empty_unet(self, prediction_type: str) -> UNet2DConditionModel:
        """A UNet of its sizes."""
        return UNet2DConditionModel(sample_size=self.release(prediction_type).side // DOWNSAMPLING, **self.unet)

    def empty_text_model(self) -> CLIPTextModel:
        """A text model of its sizes."""
        return CLIPTextModel(CLIPTextConfig(**self.text_model))


def load_release(generation: Generation, release: Base, prediction_type: PredictionType | None) -> BaseModel:
    """A release: its checkpoint where that lies in a models folder, else its mirror."""
    if prediction_type not in (None, release.prediction_type):
        raise UsageError(f"{release.name} predicts {release.prediction_type}; leave --prediction-type out")
    if found := checkpoint_of(release):
        return load_checkpoint(generation, found, release.prediction_type)
    assert release.mirror is not None
    return load_folder(generation, release.mirror, release.prediction_type)


def checkpoint_of(release: Base) -> Path | None:
    """Where a release's checkpoint lies, if it does: in our models folder, or in that of the ComfyUI around us."""
    comfyui = CHECKPOINTS.parents[3] / "models" / "checkpoints"
    return next((f / release.checkpoint for f in (CHECKPOINTS, comfyui) if (f / release.checkpoint).is_file()), None)


def empty_generation(generation: Generation, base: str, prediction_type: str) -> EmptyBase:
    """The sizes of a release, of a checkpoint, or of the folder or hub id, of which only configurations are read."""
    if base in BASES or base.endswith(".safetensors"):
        return EmptyBase(
            generation.empty_unet(prediction_type), generation.empty_text_model(), AutoencoderKL(**AUTOENCODER)
        )
    return EmptyBase(
        UNet2DConditionModel.from_config(UNet2DConditionModel.load_config(base, subfolder="unet")),
        CLIPTextModel(CLIPTextConfig.from_pretrained(base, subfolder="text_encoder")),
        AutoencoderKL.from_config(AutoencoderKL.load_config(base, subfolder="vae")),
    )


def load_folder(generation: Generation, base: str, prediction_type: str | None) -> BaseModel:
    """A diffusers folder, or what a hub id names. Of a UNet with GLIGEN's layers, the base alone is taken."""
    # transformers and diffusers warn about every unused key of a sub-folder
    transformers_logging.set_verbosity_error()
    diffusers_logging.set_verbosity_error()
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
    unet = UNet2DConditionModel.from_pretrained(base, subfolder="unet", attention_type="default", **weights)
    _check_sizes(generation, base, unet.config["cross_attention_dim"], unet.config["in_channels"])
    return BaseModel(
        generation.release(said).name,
        CLIPTokenizer.from_pretrained(base, subfolder="tokenizer"),
        CLIPTextModel.from_pretrained(base, subfolder="text_encoder", dtype=torch.float32),
        unet,
        AutoencoderKL.from_pretrained(base, subfolder="vae", **weights),
        scheduler,
        generation.pad_id,
    )


def load_checkpoint(generation: Generation, path: Path, prediction_type: str) -> BaseModel:
    """A single-file checkpoint under LDM's names, with its text model."""
    tensors, _ = read_weights(path)
    context = tensors.get(f"{UNET_PREFIX}input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight")
    first = tensors.get(f"{UNET_PREFIX}input_blocks.0.0.weight")
    if context is None or first is None:
        raise WeightsFileError(f"{path} is no checkpoint of {generation.title}: it has no UNet with its names")
    _check_sizes(generation, path, context.shape[1], first.shape[1])
    with init_empty_weights():
        unet, text_model = generation.empty_unet(prediction_type), generation.empty_text_model()
        vae = AutoencoderKL(**AUTOENCODER)
    text = generation.text_state(path, text_model, tensors)
    fill = _Filler(generation.title, path)
    fill(unet, {k: tensors.get(UNET_PREFIX + ldm) for k, ldm in ldm_names(unet).items()})
    # transformers 5 has the text model's names one level further up
    fill(text_model, {k: text.get(f"text_model.{k}", text.get(k)) for k in text_model.state_dict()})
    autoencoder = convert_ldm_vae_checkpoint(tensors, vae.config)
    fill(vae, {k: autoencoder.get(k) for k in vae.state_dict()})
    scheduler = DDIMScheduler(prediction_type=prediction_type, **SCHEDULE)
    return BaseModel(
        generation.release(prediction_type).name,
        clip_tokenizer(),
        text_model.eval(),
        unet.eval(),
        vae.eval(),
        scheduler,
        generation.pad_id,
    )


def _check_sizes(generation: Generation, where: Path | str, context_dim: int, channels: int) -> None:
    wanted = generation.context_dim, generation.unet["in_channels"]
    if (context_dim, channels) != wanted:
        raise WeightsFileError(
            f"{where} is not a {generation.title} that draws from text: its UNet takes {channels} channels and a text "
            f"of {context_dim} numbers, not {wanted[1]} and {wanted[0]}; 768 is Stable Diffusion 1.x, 1024 is 2.x, 9 "
            "channels are inpainting"
        )


@dataclass(frozen=True)
class _Filler:
    """Puts tensors of a checkpoint into a module; raises `WeightsFileError` unless they are all there."""

    title: str
    path: Path

    def __call__(self, module: nn.Module, state: Mapping[str, Tensor | None]) -> None:
        own = module.state_dict()
        wrong = [name for name, tensor in state.items() if tensor is None or tensor.numel() != own[name].numel()]
        if wrong:
            raise WeightsFileError(
                f"{self.path} is no whole checkpoint of {self.title}: {wrong[0]} and {len(wrong) - 1} more tensors are "
                "missing or of another size"
            )
        whole = {k: v.float().reshape(own[k].shape) for k, v in state.items() if v is not None}
        module.load_state_dict(whole, assign=True)
