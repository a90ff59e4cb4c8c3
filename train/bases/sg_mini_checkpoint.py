"""SG-Mini's checkpoint, as ComfyUI reads it, into the libraries' own classes and back."""

from pathlib import Path

import torch
from diffusers import AutoencoderTiny, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from sg_models.bases import sg_mini
from sg_models.files.safetensors_file import WeightsFileError, read_weights, tensor_names, write_weights
from train.bases.base_model import BaseModel
from train.bases.clip_tokenizer import clip_tokenizer
from train.bases.empty_base import EmptyBase
from train.bases.ldm_names import UNET_PREFIX, ldm_names
from train.bases.model_folders import CHECKPOINTS
from train.running.command_line import UsageError

VAE_PREFIX, TEXT_PREFIX = "first_stage_model.taesd_", "cond_stage_model.transformer."
TAESD_WIDTH = 64
# without its last layer, as the UNet is conditioned on the one before it
TEXT_MODEL = sg_mini.TEXT_MODEL | {"num_hidden_layers": sg_mini.TEXT_MODEL["num_hidden_layers"] - 1}


def load_sg_mini_base(base: str, prediction_type: str | None) -> BaseModel:
    """SG-Mini by its name, or a checkpoint with its kind of autoencoder; raises `UsageError` for another prediction."""
    if prediction_type not in (None, sg_mini.PREDICTION_TYPE):
        raise UsageError(f"SG-Mini predicts {sg_mini.PREDICTION_TYPE}; leave --prediction-type out")
    return load_sg_mini(CHECKPOINTS / sg_mini.CHECKPOINT if base == sg_mini.NAME else Path(base))


def is_sg_mini(path: Path) -> bool:
    """Whether a file is a checkpoint with SG-Mini's kind of autoencoder."""
    return any(name.startswith(VAE_PREFIX) for name in tensor_names(path))


def empty_sg_mini(base: str) -> EmptyBase:
    """SG-Mini's sizes."""
    return EmptyBase(
        UNet2DConditionModel(**sg_mini.UNET),
        CLIPTextModel(CLIPTextConfig(**TEXT_MODEL)),
        AutoencoderTiny(**sg_mini.AUTOENCODER),
    )


def load_sg_mini(path: Path) -> BaseModel:
    """SG-Mini from its checkpoint; raises `WeightsFileError` if that is missing, damaged or something else."""
    tensors, _ = read_weights(path)
    tensors = {k: v.float() for k, v in tensors.items()}
    text_encoder = CLIPTextModel(CLIPTextConfig(**TEXT_MODEL))
    unet = UNet2DConditionModel(**sg_mini.UNET)
    vae = AutoencoderTiny(**sg_mini.AUTOENCODER)
    _fill(path, text_encoder, tensors, {k: TEXT_PREFIX + _hf_text_name(k) for k in text_encoder.state_dict()})
    _fill(path, unet, tensors, {k: UNET_PREFIX + ldm for k, ldm in ldm_names(unet).items()})
    _fill(path, vae, tensors, {k: VAE_PREFIX + _taesd_name(k) for k in vae.state_dict()})
    return BaseModel(
        sg_mini.NAME,
        clip_tokenizer(),
        text_encoder.eval(),
        unet.eval(),
        vae.eval(),
        DDIMScheduler(**sg_mini.SCHEDULE),
    )


def load_text_model(path: Path) -> CLIPTextModelWithProjection:
    """The whole text model of a checkpoint, with the layer and the projection that the UNet is not conditioned on."""
    tensors, _ = read_weights(path)
    text = CLIPTextModelWithProjection(CLIPTextConfig(**sg_mini.TEXT_MODEL))
    tensors = {k: v.float() for k, v in tensors.items()}
    _fill(path, text, tensors, {k: TEXT_PREFIX + _hf_text_name(k) for k in text.state_dict()})
    return text


def replace_text_model(path: Path, text: CLIPTextModelWithProjection) -> None:
    """Writes a checkpoint anew with another text model in it."""
    tensors, metadata = read_weights(path)
    own = {TEXT_PREFIX + _hf_text_name(k): v.half() for k, v in text.state_dict().items()}
    write_weights(path, tensors | own, metadata)


def sg_mini_tensors(text_encoder: nn.Module, unet: nn.Module, vae: AutoencoderTiny) -> dict[str, Tensor]:
    """The checkpoint of a whole SG-Mini under the names that ComfyUI's *Load Checkpoint* reads.

    `text_encoder` is the full `CLIPTextModelWithProjection`.
    """
    text = {TEXT_PREFIX + _hf_text_name(k): v for k, v in text_encoder.state_dict().items()}
    state = unet.state_dict()
    body = {UNET_PREFIX + ldm: state[k] for k, ldm in ldm_names(unet).items()}
    return text | body | {VAE_PREFIX + _taesd_name(k): _widen(v) for k, v in vae.state_dict().items()}


def _fill(path: Path, module: nn.Module, tensors: dict[str, Tensor], names: dict[str, str]) -> None:
    missing = [there for there in names.values() if there not in tensors]
    if missing:
        raise WeightsFileError(
            f"{path} is not an SG-Mini checkpoint: it lacks {missing[0]} and {len(missing) - 1} more"
        )
    own = module.state_dict()
    narrow = isinstance(module, AutoencoderTiny)
    state = {k: _narrow(tensors[there], own[k].shape) if narrow else tensors[there] for k, there in names.items()}
    wrong = [names[k] for k, tensor in state.items() if tensor.shape != own[k].shape]
    if wrong:
        raise WeightsFileError(f"{path} is not an SG-Mini checkpoint: {wrong[0]} has another size")
    module.load_state_dict(state)


def _hf_text_name(name: str) -> str:
    """Checkpoints keep the names of transformers 4: the text model one level down."""
    return name if name.startswith(("text_model.", "text_projection.")) else f"text_model.{name}"


def _taesd_name(name: str) -> str:
    """diffusers' `encoder.layers.N…` → TAESD's `encoder.N…`; TAESD's decoder counts the clamp at its front."""
    half, _, index, *rest = name.split(".")
    return ".".join([half, str(int(index) + (half == "decoder")), *rest])


def _narrow(tensor: Tensor, shape: torch.Size) -> Tensor:
    """A tensor without its zero padding: see `_widen`."""
    return tensor[tuple(slice(n) for n in shape)]


def _widen(tensor: Tensor) -> Tensor:
    """An autoencoder's tensor, zero-padded to the width that ComfyUI gives a TAESD; it computes the same there."""
    narrow = sg_mini.AUTOENCODER["encoder_block_out_channels"][0]
    shape = [TAESD_WIDTH if n == narrow else n for n in tensor.shape]
    wide = tensor.new_zeros(shape)
    wide[tuple(slice(n) for n in tensor.shape)] = tensor
    return wide
