"""A LoRA of the UNet: put into it with peft, and its file, which ComfyUI's own *Load LoRA* applies."""

from pathlib import Path

from diffusers import UNet2DConditionModel
from peft import LoraConfig, get_peft_model_state_dict, inject_adapter_in_model, set_peft_model_state_dict
from torch import Tensor

from sg_models.adapters.adapter import AdapterError
from sg_models.files.safetensors_file import read_weights
from train.bases.ldm_names import ldm_name

TRANSFORMER = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out"]
TARGETS = [*TRANSFORMER, "conv1", "conv2"]  # attention alone learns too little: a layout is made in convolutions, too
PREFIX = "diffusion_model."
PARTS = (".lora_A.weight", ".lora_B.weight")


def inject(unet: UNet2DConditionModel, rank: int) -> None:
    """Puts a new LoRA, which changes nothing yet, into the blocks of a UNet; its parameters alone are trainable.

    Its alpha is its rank: a file without alphas then means the same everywhere.
    """
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=rank, target_modules=TARGETS), unet)


def lora_tensors(unet: UNet2DConditionModel) -> dict[str, Tensor]:
    """The LoRA in a UNet under the names of its file."""
    state = get_peft_model_state_dict(unet)
    return {_file_name(unet, name): tensor for name, tensor in state.items()}


def load_lora(unet: UNet2DConditionModel, path: Path) -> None:
    """Puts the LoRA of a file into a UNet; raises `AdapterError` if it is none for this UNet."""
    tensors, _ = read_weights(path)
    ranks = {tensor.shape[0] for name, tensor in tensors.items() if name.endswith(PARTS[0])}
    if len(ranks) != 1:
        raise AdapterError(f"{path} is no LoRA that train_lora.py wrote: it has {len(ranks)} different ranks")
    inject(unet, ranks.pop())
    names = {_file_name(unet, name): name for name in get_peft_model_state_dict(unet)}
    wrong = sorted(names.keys() ^ tensors.keys())
    if wrong:
        raise AdapterError(f"{path} is a LoRA for another UNet: {wrong[0]} does not fit")
    set_peft_model_state_dict(unet, {names[k]: tensor.float() for k, tensor in tensors.items()})


def _file_name(unet: UNet2DConditionModel, name: str) -> str:
    part = next(part for part in PARTS if name.endswith(part))
    return PREFIX + ldm_name(unet, name.removesuffix(part)) + part
