"""What of a base's UNet graph conditioning trains along: a LoRA, or all of it, in a file of its own.

The LoRA is for ComfyUI's own *Load LoRA*, the whole UNet for its *Load Diffusion Model*.
"""

from pathlib import Path
from typing import Literal, get_args

from diffusers import UNet2DConditionModel
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError
from sg_models.adapters.variants import VARIANTS
from sg_models.files.safetensors_file import read_weights
from train.bases.ldm_names import UNET_PREFIX, ldm_names
from train.bases.model_folders import LORAS, UNETS
from train.conditioning.lora import inject, load_lora, lora_tensors

Trained = Literal["lora", "full"]
LORA, FULL = KNOWN = get_args(Trained)
VARIANT = VARIANTS["gc"]


def make_trainable(unet: UNet2DConditionModel, trained: Trained, rank: int) -> None:
    """Puts a new LoRA of a rank into a frozen UNet, or thaws all of it."""
    if trained == LORA:
        inject(unet, rank)
    else:
        unet.requires_grad_(True)


def trained_tensors(unet: UNet2DConditionModel, trained: Trained) -> dict[str, Tensor]:
    """What was trained of a UNet under the names of its file."""
    if trained == LORA:
        return lora_tensors(unet)
    state = unet.state_dict()
    return {UNET_PREFIX + ldm: state[name] for name, ldm in ldm_names(unet).items()}


def trained_path(trained: Trained, base: str, beside: Path | None = None) -> Path:
    """Where the file is: in a folder beside the adapter's, else in models/, sorted as ComfyUI sorts it."""
    if trained == FULL:
        return (beside or UNETS) / f"{VARIANT.name}-unet-{VARIANT.phrases}-{base}.safetensors"
    return (beside or LORAS) / VARIANT.file_name(base)


def load_trained(unet: UNet2DConditionModel, file: Adapter, folder: Path) -> None:
    """Puts into a UNet what was trained along with an adapter, from the adapter's `folder` or models/.

    Raises `AdapterError` where it is in neither, or fits another UNet.
    """
    path = find_trained(file, folder)
    if file.config["unet"] == LORA:
        load_lora(unet, path)
    else:
        _load_whole(unet, path)
    unet.requires_grad_(False)


def find_trained(file: Adapter, folder: Path) -> Path:
    """The file of what was trained along with an adapter; raises `AdapterError` where there is none."""
    trained = file.config.get("unet")
    if trained not in KNOWN:
        raise AdapterError(f"{file.name} does not say what of the UNet belongs to it; write it again with the script")
    places = trained_path(trained, file.base, folder), trained_path(trained, file.base)
    for path in places:
        if path.exists():
            return path
    first, second = places
    raise AdapterError(f"{file.name} needs {first.name}, which is neither in {first.parent} nor {second.parent}")


def _load_whole(unet: UNet2DConditionModel, path: Path) -> None:
    tensors, _ = read_weights(path)
    names, own = {k: UNET_PREFIX + ldm for k, ldm in ldm_names(unet).items()}, unet.state_dict()
    wrong = sorted(set(names.values()) ^ tensors.keys())
    wrong = wrong or sorted(ldm for name, ldm in names.items() if tensors[ldm].shape != own[name].shape)
    if wrong:
        raise AdapterError(f"{path} is a UNet of other sizes: {wrong[0]} does not fit")
    unet.load_state_dict({name: tensors[ldm].float() for name, ldm in names.items()})
