"""Finding a trained adapter by the name of its variant and putting it into a base."""

from pathlib import Path

from diffusers import ControlNetModel
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter
from sg_models.adapters.gsa_adapter import GSAAdapter, build_gsa_adapter
from sg_models.adapters.layout_adapter import CONTROLNET, CONTROLNET_KIND, LayoutAdapter, build_layout_adapter
from sg_models.adapters.structure_clip import STRUCTURE_CLIP, build_knowledge
from sg_models.bases import sg_mini
from train.bases.base_model import BaseModel
from train.bases.ldm_names import controlnet_ldm_names
from train.bases.model_folders import ADAPTERS, CHECKPOINTS, LORAS
from train.conditioning.conditioners import (
    CaptionConditioner,
    Conditioner,
    GroundedConditioner,
    LayoutConditioner,
    StructureClipConditioner,
)
from train.conditioning.grounded_unet import attach, block_sizes
from train.conditioning.lora import load_lora
from train.conditioning.phrase_encoders import graph_features

NO_ADAPTER, CAPTION_VARIANT = "none", "i"  # either way, the graph as a caption
TRAINED_VARIANTS = ("ii", "iii", "iv", "v", "vi", "vii")
LORA_VARIANT = "ii"  # two files: a LoRA, and the knowledge encoder that it was trained on


def load_variant(base: BaseModel, name: str, bert: str | None = None) -> Conditioner:
    """The variant of a name (`vi`) or of the adapter file at a path, put into the base; the caption for `none` or `i`.

    `bert` names another BERT than the packaged one. Raises `AdapterError` where there is no such adapter, or where it
    does not fit the base.
    """
    if name in (NO_ADAPTER, CAPTION_VARIANT):
        return CaptionConditioner(base)
    if name == LORA_VARIANT:
        return _with_lora(base)
    file = read_adapter(_path(base, name))
    file.check_base(base.name, base.prediction_type)
    encode = graph_features(file.phrase_encoder, base, bert, file)
    if file.kind == CONTROLNET_KIND:
        adapter, controlnet = _install_controlnet(base, file)
        variant: Conditioner = LayoutConditioner(base, adapter, controlnet, encode)
    else:
        adapter = _install(base, file)
        variant = GroundedConditioner(base, adapter, encode)
    if encode.dim != adapter.config["phrase_dim"]:
        raise AdapterError(
            f"{file.name} was trained on phrases of {adapter.config['phrase_dim']} numbers, this {file.phrase_encoder} "
            f"gives {encode.dim}; name the one it was trained with"
        )
    return variant


def variant_files(name: str, base: str) -> list[Path]:
    """The files that a variant is made of, the base's checkpoint first; it alone if the variant is not trained yet."""
    added = sorted(ADAPTERS.glob(f"{name}-*-{base}.safetensors"))
    if name == LORA_VARIANT:
        added = [path for path in (_knowledge_path(base), _lora_path(base)) if path.exists()]
    return [CHECKPOINTS / sg_mini.CHECKPOINT, *added]


def trained_variants(base: str) -> list[str]:
    """The variants whose files are there."""
    return [name for name in TRAINED_VARIANTS if len(variant_files(name, base)) > 1]


def _knowledge_path(base: str) -> Path:
    return ADAPTERS / f"{STRUCTURE_CLIP}-{base}.safetensors"


def _lora_path(base: str) -> Path:
    return LORAS / f"{LORA_VARIANT}-lora-{STRUCTURE_CLIP}-{base}.safetensors"


def _path(base: BaseModel, name: str) -> Path:
    if name.endswith(".safetensors"):
        return Path(name)
    found = sorted(ADAPTERS.glob(f"{name}-*-{base.name}.safetensors"))
    if len(found) == 1:
        return found[0]
    raise AdapterError(
        f"there is no adapter {name!r} for {base.name} in {ADAPTERS}; "
        f"write {', '.join([NO_ADAPTER, *trained_variants(base.name)])} or the path of a .safetensors file"
    )


def _with_lora(base: BaseModel) -> StructureClipConditioner:
    file = read_adapter(_knowledge_path(base.name))
    file.check_kind(STRUCTURE_CLIP)
    file.check_base(base.name, base.prediction_type)
    load_lora(base.unet, _lora_path(base.name))
    base.unet.requires_grad_(False)
    return StructureClipConditioner(base, build_knowledge(file), file.config["knowledge_weight"])


def _install(base: BaseModel, adapter: Adapter) -> GSAAdapter:
    module = build_gsa_adapter(adapter)
    if adapter.config["blocks"] != block_sizes(base.unet):
        raise AdapterError(f"{adapter.name} was made for a UNet of other sizes than {base.name}'s")
    module.to(base.device).requires_grad_(False).eval()
    attach(base.unet, module)
    return module


def _install_controlnet(base: BaseModel, file: Adapter) -> tuple[LayoutAdapter, ControlNetModel]:
    adapter = build_layout_adapter(file)
    controlnet = ControlNetModel.from_unet(
        base.unet, conditioning_channels=adapter.config["channels"], load_weights_from_unet=False
    )
    controlnet.load_state_dict(controlnet_state(file, controlnet))
    for part in (adapter, controlnet):
        part.to(base.device).requires_grad_(False).eval()
    return adapter, controlnet


def controlnet_state(file: Adapter, controlnet: ControlNetModel) -> dict[str, Tensor]:
    """The ControlNet in an adapter file under diffusers' names; raises `AdapterError` if it is another kind."""
    tensors = {k.removeprefix(CONTROLNET): v.float() for k, v in file.state_dict.items() if k.startswith(CONTROLNET)}
    names = controlnet_ldm_names(controlnet)
    wrong = sorted(set(names.values()) ^ set(tensors))
    if not wrong:
        shapes = {names[k]: v.shape for k, v in controlnet.state_dict().items()}
        wrong = sorted(name for name, tensor in tensors.items() if tensor.shape != shapes[name])
    if wrong:
        raise AdapterError(f"{file.name} holds no ControlNet for {file.base}'s UNet: {wrong[0]} does not fit")
    return {k: tensors[ldm] for k, ldm in names.items()}
