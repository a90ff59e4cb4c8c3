"""Finding a trained adapter by the name of its variant and putting it into a base."""

from pathlib import Path

from diffusers import ControlNetModel
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError
from sg_models.adapters.gligen_adapter import GligenAdapter, build_gligen_adapter
from sg_models.adapters.gligen_file import read_adapter_or_gligen
from sg_models.adapters.graph_conditioning import build_graph_conditioning
from sg_models.adapters.gsa_adapter import GSAAdapter, build_gsa_adapter
from sg_models.adapters.layout_adapter import CONTROLNET, build_layout_adapter
from sg_models.adapters.phrase_features import GraphFeatures
from sg_models.adapters.structure_clip import build_knowledge
from sg_models.adapters.variants import (
    CAPTION_VARIANT,
    GLIGEN,
    GRAPH_CONDITIONING,
    GSA,
    LAYOUT_CONTROLNET,
    STRUCTURE_CLIP,
    VARIANTS,
    Variant,
)
from sg_models.bases.known_bases import BASES
from train.bases.base_model import BaseModel
from train.bases.ldm_names import controlnet_ldm_names
from train.bases.model_folders import ADAPTERS, CHECKPOINTS, LORAS
from train.conditioning.conditioners import (
    CaptionConditioner,
    Conditioner,
    GSAConditioner,
    LayoutConditioner,
    StructureClipConditioner,
)
from train.conditioning.gligen_conditioner import GligenConditioner
from train.conditioning.graph_conditioner import GraphConditioningConditioner
from train.conditioning.grounded_unet import attach, block_sizes
from train.conditioning.influence import Influence
from train.conditioning.lora import load_lora
from train.conditioning.phrase_encoders import graph_features
from train.conditioning.trained_unet import find_trained, load_trained

NO_ADAPTER = "none"  # the graph as a caption, as for `CAPTION_VARIANT`


def load_variant(
    base: BaseModel, name: str, bert: str | None = None, influence: Influence | None = None
) -> Conditioner:
    """The variant of a name (`vi`) or of the adapter file at a path, put into the base; the caption for `none` or `i`.

    `bert` names another BERT than the packaged one, `influence` how strongly and when the adapter acts. Raises
    `AdapterError` where there is no such adapter, where it does not fit the base, or where nothing has that influence.
    """
    condition = _load(base, name, bert)
    if influence is None or influence == Influence():
        return condition
    if not isinstance(condition, GSAConditioner | LayoutConditioner | GligenConditioner):
        raise AdapterError(
            f"({name}) has no strength, start or end: these are of adapters that act on the UNet apart from the "
            "prompt, (iii) to (vii) and GLIGEN"
        )
    condition.influence = influence
    return condition


def _load(base: BaseModel, name: str, bert: str | None) -> Conditioner:
    if name in (NO_ADAPTER, CAPTION_VARIANT):
        return CaptionConditioner(base)
    path = _adapter_path(base, name)
    file = read_adapter_or_gligen(path)
    file.check_base(base.name, base.prediction_type)
    if file.kind == STRUCTURE_CLIP and name in VARIANTS:
        return _with_lora(base, file, VARIANTS[name])
    if file.kind not in INSTALL:
        raise AdapterError(f"{file.name} is an adapter of kind {file.kind}, which draws nothing by itself")
    encode = graph_features(file.phrase_encoder, base, bert, file)
    if encode.dim != file.config.get("phrase_dim"):
        raise AdapterError(
            f"{file.name} was trained on phrases of {file.config.get('phrase_dim')} numbers, this "
            f"{file.phrase_encoder} gives {encode.dim}; name the one it was trained with"
        )
    if file.kind == GRAPH_CONDITIONING:
        load_trained(base.unet, file, path.parent)
    return INSTALL[file.kind](base, file, encode)


def variant_files(name: str, base: str) -> list[Path]:
    """The files that a variant, or the adapter file at a path, is made of, the base's checkpoint first.

    It alone if the variant is not trained yet. Beside an adapter at a path the base may be one at a path, too.
    """
    at_a_path = name.endswith(".safetensors") and base not in BASES
    return [Path(base) if at_a_path else CHECKPOINTS / BASES[base].checkpoint, *_added_files(name, base)]


def _added_files(name: str, base: str) -> list[Path]:
    """Those beside the base."""
    if name.endswith(".safetensors"):
        path = Path(name)
        file = read_adapter_or_gligen(path)
        return [path, find_trained(file, path.parent)] if file.kind == GRAPH_CONDITIONING else [path]
    if name not in VARIANTS:
        return []
    variant = VARIANTS[name]
    added = [ADAPTERS / file for file in variant.adapter_names(base)]
    if variant.is_lora:
        added.append(LORAS / variant.file_name(base))
    return [path for path in added if path.exists()]


def trained_variants(base: str) -> list[str]:
    """The variants whose files are there."""
    return [name for name, variant in VARIANTS.items() if variant.kind and len(variant_files(name, base)) > 1]


def _adapter_path(base: BaseModel, name: str) -> Path:
    if name.endswith(".safetensors"):
        return Path(name)
    if name in VARIANTS:
        path = ADAPTERS / VARIANTS[name].adapter_names(base.name)[0]
        if path.exists():
            return path
    raise AdapterError(
        f"there is no adapter {name!r} for {base.name} in {ADAPTERS}; "
        f"write {', '.join([NO_ADAPTER, *trained_variants(base.name)])} or the path of a .safetensors file"
    )


def _with_lora(base: BaseModel, file: Adapter, variant: Variant) -> StructureClipConditioner:
    file.check_kind(variant.kind)
    load_lora(base.unet, LORAS / variant.file_name(base.name))
    base.unet.requires_grad_(False)
    return StructureClipConditioner(base, build_knowledge(file), file.config["knowledge_weight"])


def _with_gsa(base: BaseModel, file: Adapter, encode: GraphFeatures) -> GSAConditioner:
    module = build_gsa_adapter(file)
    _attach(base, file, module)
    return GSAConditioner(base, module, encode)


def _with_gligen(base: BaseModel, file: Adapter, encode: GraphFeatures) -> GligenConditioner:
    module = build_gligen_adapter(file)
    _attach(base, file, module)
    return GligenConditioner(base, module, encode)


def _attach(base: BaseModel, file: Adapter, module: GSAAdapter | GligenAdapter) -> None:
    if file.config["blocks"] != block_sizes(base.unet):
        raise AdapterError(f"{file.name} was made for a UNet of other sizes than {base.name}'s")
    attach(base.unet, module.to(base.device).requires_grad_(False).eval())


def _with_controlnet(base: BaseModel, file: Adapter, encode: GraphFeatures) -> LayoutConditioner:
    adapter = build_layout_adapter(file)
    controlnet = ControlNetModel.from_unet(
        base.unet, conditioning_channels=adapter.config["channels"], load_weights_from_unet=False
    )
    controlnet.load_state_dict(controlnet_state(file, controlnet))
    for part in (adapter, controlnet):
        part.to(base.device).requires_grad_(False).eval()
    return LayoutConditioner(base, adapter, controlnet, encode)


def _with_graph_conditioning(base: BaseModel, file: Adapter, encode: GraphFeatures) -> GraphConditioningConditioner:
    if file.config.get("context_dim") != base.unet.config["cross_attention_dim"]:
        raise AdapterError(f"{file.name} makes contexts of other widths than {base.name}'s UNet reads")
    module = build_graph_conditioning(file).to(base.device).requires_grad_(False).eval()
    return GraphConditioningConditioner(base, module, encode)


# what draws with an adapter file, by its kind
INSTALL = {
    GSA: _with_gsa,
    GLIGEN: _with_gligen,
    LAYOUT_CONTROLNET: _with_controlnet,
    GRAPH_CONDITIONING: _with_graph_conditioning,
}


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
