"""Which base a script works on: options that every script has, and the base that they name."""

from dataclasses import dataclass
from pathlib import Path

from sg_models import sg_mini
from sg_models.safetensors_file import tensor_names
from train.base_model import CHECKPOINTS, BaseModel
from train.command_line import UsageError
from train.sg_mini_base import VAE_PREFIX, load_sg_mini
from train.stable_diffusion_2 import PredictionType, load_stable_diffusion_2


@dataclass
class BaseOptions:
    base: str = sg_mini.NAME
    """sg-mini, sd21 or sd21-base; a .safetensors checkpoint, a diffusers folder or a hub id of Stable Diffusion 2.x"""
    prediction_type: PredictionType | None = None
    """of a .safetensors checkpoint of Stable Diffusion 2.x, which does not say so itself"""


def load_base(base: str, prediction_type: PredictionType | None = None) -> BaseModel:
    """The base that `BaseOptions` name.

    Raises `UsageError` or `WeightsFileError` in words where there is none, or where what it predicts is unclear.
    """
    path = CHECKPOINTS / sg_mini.CHECKPOINT if base == sg_mini.NAME else Path(base)
    if base == sg_mini.NAME or (path.suffix == ".safetensors" and is_sg_mini(path)):
        if prediction_type not in (None, sg_mini.PREDICTION_TYPE):
            raise UsageError(f"SG-Mini predicts {sg_mini.PREDICTION_TYPE}; leave --prediction-type out")
        return load_sg_mini(path)
    return load_stable_diffusion_2(base, prediction_type)


def is_sg_mini(path: Path) -> bool:
    """Whether a file is a checkpoint with SG-Mini's kind of autoencoder."""
    return any(name.startswith(VAE_PREFIX) for name in tensor_names(path))
