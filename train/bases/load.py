"""Which base a script works on: options that every script has, and the base that they name."""

from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import PartialState

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import tensor_names
from train.bases.base_model import BaseModel
from train.bases.model_folders import CHECKPOINTS
from train.bases.sg_mini_checkpoint import VAE_PREFIX, load_sg_mini
from train.bases.stable_diffusion_2 import PredictionType, load_stable_diffusion_2
from train.running.command_line import UsageError


@dataclass
class BaseOptions:
    base: str = sg_mini.NAME
    """sg-mini, sd21 or sd21-base; a .safetensors checkpoint, a diffusers folder or a hub id of Stable Diffusion 2.x"""
    prediction_type: PredictionType | None = None
    """of a .safetensors checkpoint of Stable Diffusion 2.x, which does not say so itself"""


@dataclass
class TrainingOptions(BaseOptions):
    """Of the scripts that train something beside a frozen base."""

    gradient_checkpointing: bool = False
    """compute the UNet's activations again in the backward pass instead of keeping them: less memory, more time"""
    channels_last: bool = False
    """keep the UNet's convolutions in the memory format that tensor cores prefer"""
    half_unet: bool = False
    """keep what is frozen of the UNet in the precision of the run, instead of converting it in every step"""
    dry_run: bool = False
    """print parameters, memory and steps per epoch, and stop before anything is loaded"""


def load_base(base: str, prediction_type: PredictionType | None = None) -> BaseModel:
    """The base that `BaseOptions` name.

    Raises `UsageError` or `WeightsFileError` in words where there is none, or where what it predicts is unclear.
    """
    path = CHECKPOINTS / sg_mini.CHECKPOINT if base == sg_mini.NAME else Path(base)
    if is_sg_mini_name(base):
        if prediction_type not in (None, sg_mini.PREDICTION_TYPE):
            raise UsageError(f"SG-Mini predicts {sg_mini.PREDICTION_TYPE}; leave --prediction-type out")
        return load_sg_mini(path)
    return load_stable_diffusion_2(base, prediction_type)


def training_base(options: TrainingOptions) -> BaseModel:
    """The base that the options name, frozen, on this process's device, and prepared as they say."""
    base = load_base(options.base, options.prediction_type).to(PartialState().device).frozen()
    if options.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
    if options.channels_last:
        base.unet.to(memory_format=torch.channels_last)
    return base


def is_sg_mini_name(base: str) -> bool:
    """Whether `--base` means SG-Mini: by its name, or by a checkpoint with its kind of autoencoder."""
    return base == sg_mini.NAME or (base.endswith(".safetensors") and is_sg_mini(Path(base)))


def is_sg_mini(path: Path) -> bool:
    """Whether a file is a checkpoint with SG-Mini's kind of autoencoder."""
    return any(name.startswith(VAE_PREFIX) for name in tensor_names(path))
