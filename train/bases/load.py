"""Which base a script works on: options that every script has, and the base that they name."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sg_models.bases import known_bases, sg_mini
from sg_models.bases.known_bases import BASES
from train.bases.base_model import BaseModel
from train.bases.empty_base import EmptyBase
from train.bases.sg_mini_checkpoint import empty_sg_mini, is_sg_mini, load_sg_mini_base
from train.bases.stable_diffusion_1 import empty_stable_diffusion_1, is_stable_diffusion_1, load_stable_diffusion_1
from train.bases.stable_diffusion_2 import empty_stable_diffusion_2, load_stable_diffusion_2
from train.bases.stable_diffusion_files import PredictionType
from train.running.processes import this_process


@dataclass
class BaseOptions:
    base: str = sg_mini.NAME
    """sg-mini, sd21-base, sd21 or sd15; a .safetensors checkpoint, a diffusers folder or a hub id of Stable Diffusion
    2.x or 1.x"""
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


@dataclass(frozen=True)
class Family:
    """How bases of one family are read."""

    load: Callable[[str, PredictionType | None], BaseModel]
    empty: Callable[[str], EmptyBase]  # from configurations alone


FAMILIES = {
    known_bases.SG_MINI: Family(load_sg_mini_base, empty_sg_mini),
    known_bases.STABLE_DIFFUSION_1: Family(load_stable_diffusion_1, empty_stable_diffusion_1),
    known_bases.STABLE_DIFFUSION_2: Family(load_stable_diffusion_2, empty_stable_diffusion_2),
}


def family_of(base: str) -> Family:
    """How the base is read that `--base` means: by its name, by what it holds, else as Stable Diffusion 2.x."""
    if base in BASES:
        return FAMILIES[BASES[base].family]
    if base.endswith(".safetensors") and is_sg_mini(Path(base)):
        return FAMILIES[known_bases.SG_MINI]
    if is_stable_diffusion_1(base):
        return FAMILIES[known_bases.STABLE_DIFFUSION_1]
    return FAMILIES[known_bases.STABLE_DIFFUSION_2]


def load_base(base: str, prediction_type: PredictionType | None = None) -> BaseModel:
    """The base that `BaseOptions` name.

    Raises `UsageError` or `WeightsFileError` in words where there is none, or where what it predicts is unclear.
    """
    return family_of(base).load(base, prediction_type)


def empty_base(base: str) -> EmptyBase:
    """A base without weights, as `BaseOptions` name it; of a folder or a hub id only the configurations are read."""
    return family_of(base).empty(base)


def default_run_dir(name: str, base: str) -> Path:
    """Where a script keeps a run if nothing else is said: apart for each base, so that none goes on from another's."""
    return Path("runs") / (name if base == sg_mini.NAME else f"{name}-{base}")


def load_training_base(options: TrainingOptions) -> BaseModel:
    """The base that the options name, frozen, on this process's device, and prepared as they say."""
    base = load_base(options.base, options.prediction_type).to(this_process().device).freeze()
    if options.gradient_checkpointing:
        base.unet.enable_gradient_checkpointing()
    if options.channels_last:
        base.unet.to(memory_format=torch.channels_last)
    return base
