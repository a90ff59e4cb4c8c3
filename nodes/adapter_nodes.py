"""The node that opens an adapter file."""

import dataclasses
from typing import Any

import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
import torch
from comfy_api.latest import io

from ..sg_models.adapters.adapter import Adapter, AdapterError
from ..sg_models.adapters.gligen_file import read_adapter_or_gligen
from ..sg_models.adapters.variants import (
    GCA,
    GLIGEN,
    GRAPH_CONDITIONING,
    GSA,
    GSA_START,
    LAYOUT,
    LAYOUT_CONTROLNET,
    NOISED_CLIP,
    STRUCTURE_CLIP,
)
from .attention import host_attention
from .file_identity import FileIdentity, file_identity
from .loaded_adapter import (
    LoadedAdapter,
    LoadedGatedAttention,
    LoadedGligen,
    LoadedGraphConditioning,
    LoadedLayoutControlNet,
    LoadedNoisedClip,
    LoadedStructureClip,
)
from .model_folders import ADAPTERS, adapter_names, adapter_path
from .socket_types import CATEGORY, AdapterSocket

READS_PROMPT = "attn2.to_k.weight"  # [C, width of prompts], in every transformer block under LDM's names
NO_NODES = {
    GSA_START: "{name} is a start for training, not an adapter: it has no graph encoder yet. Give it to "
    "train/train_gsa.py with --init-from, and load what that writes.",
    LAYOUT: "{name} is a layout predictor without its ControlNet, a step on the way to an adapter. Give it to "
    "train/train_controlnet.py with --layout, and load what that writes.",
    GCA: "{name} is a graph encoder that was aligned with CLIP, a step on the way to an adapter. Give it to "
    "train/train_graph_conditioning.py with --aligned, and load what that writes.",
}
UNKNOWN_KIND = "{name} is an adapter of kind {kind}, which this version does not know. Update the pack."
NO_CONTROLNET = (
    "{name} does not hold what its header describes: ComfyUI finds no ControlNet in it. Write it again with "
    "train/train_controlnet.py."
)


class SGAdapterLoader(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="SGAdapterLoader",
            display_name="Load Scene Graph Adapter",
            category=CATEGORY,
            description="Opens the trained weights that make a base model follow scene graphs.",
            search_aliases=["adapter", "gsa", "gligen", "scene graph weights"],
            inputs=[
                io.Combo.Input(
                    "adapter_name",
                    options=adapter_names(),
                    tooltip=f"A .safetensors file in ComfyUI/models/{ADAPTERS}, one that came with this pack, or "
                    "GLIGEN's text-box weights in ComfyUI/models/gligen. It must have been trained on the base model "
                    "of the workflow.",
                )
            ],
            outputs=[
                AdapterSocket.Output(
                    id="adapter",
                    display_name="adapter",
                    tooltip="The weights, for Encode Scene Graph and Apply Scene Graph. Use the same one in both.",
                )
            ],
        )

    @classmethod
    def fingerprint_inputs(cls, adapter_name: str) -> FileIdentity:
        return file_identity(adapter_path(adapter_name))

    @classmethod
    def execute(cls, adapter_name: str) -> io.NodeOutput:
        return io.NodeOutput(load_adapter(adapter_path(adapter_name)))


def load_adapter(path: str) -> LoadedAdapter:
    """Reads an adapter file into modules that ComfyUI moves between devices.

    Raises `AdapterError` if the file is missing, damaged, neither one of this project's nor GLIGEN's, or not one that
    draws.
    """
    identity = file_identity(path)  # before reading: a file that changes meanwhile is read again on the next run
    file = read_adapter_or_gligen(path)
    if file.kind not in KINDS:
        raise AdapterError(NO_NODES.get(file.kind, UNKNOWN_KIND).format(name=file.name, kind=file.kind))
    return KINDS[file.kind](file, dataclasses.replace(file, state_dict={}), identity)


def load_gated_attention(file: Adapter, header: Adapter, identity: FileIdentity) -> LoadedGatedAttention:
    # importing the graph encoder takes torch-geometric with it: over a second that ComfyUI's start must not pay
    from ..sg_models.adapters.gsa_adapter import build_gsa_adapter

    patcher = in_comfyui(build_gsa_adapter(file, assign=True, attention=host_attention, **host(file)))
    knowledge = knowledge_patcher(file) if file.phrase_encoder == STRUCTURE_CLIP else None
    return LoadedGatedAttention(header, identity, patcher, knowledge)


def load_gligen(file: Adapter, header: Adapter, identity: FileIdentity) -> LoadedGligen:
    from ..sg_models.adapters.gligen_adapter import build_gligen_adapter  # late, as above

    patcher = in_comfyui(build_gligen_adapter(file, assign=True, attention=host_attention, **host(file)))
    return LoadedGligen(header, identity, patcher, None)


def load_layout_controlnet(file: Adapter, header: Adapter, identity: FileIdentity) -> LoadedLayoutControlNet:
    from ..sg_models.adapters.layout_adapter import CONTROLNET, build_layout_adapter  # late, as above

    patcher = in_comfyui(build_layout_adapter(file, assign=True, **host(file)))
    tensors = {k.removeprefix(CONTROLNET): v for k, v in file.state_dict.items() if k.startswith(CONTROLNET)}
    prompt_dims = [tensor.shape[1] for name, tensor in tensors.items() if name.endswith(READS_PROMPT)]
    controlnet = comfy.controlnet.load_controlnet_state_dict(tensors)
    if controlnet is None or not prompt_dims:
        raise AdapterError(NO_CONTROLNET.format(name=file.name))
    return LoadedLayoutControlNet(header, identity, patcher, None, controlnet, prompt_dims[0])


def load_graph_conditioning(file: Adapter, header: Adapter, identity: FileIdentity) -> LoadedGraphConditioning:
    from ..sg_models.adapters.graph_conditioning import build_graph_conditioning  # late, as above

    patcher = in_comfyui(build_graph_conditioning(file, assign=True, **host(file)))
    return LoadedGraphConditioning(header, identity, patcher, None)


def load_structure_clip(file: Adapter, header: Adapter, identity: FileIdentity) -> LoadedStructureClip:
    return LoadedStructureClip(header, identity, knowledge_patcher(file))


def load_noised_clip(file: Adapter, header: Adapter, identity: FileIdentity) -> LoadedNoisedClip:
    from ..sg_models.adapters.noised_clip import build_noised_encoder, build_picture_tower  # late: torchvision

    eyes: dict[str, torch.nn.Module] = {"noised": build_noised_encoder(file, **host(file))}
    if "clean" in file.config:
        eyes["clean"] = build_picture_tower(file, **host(file))
    return LoadedNoisedClip(header, identity, in_comfyui(torch.nn.ModuleDict(eyes)))


KINDS = {
    GSA: load_gated_attention,
    GLIGEN: load_gligen,
    LAYOUT_CONTROLNET: load_layout_controlnet,
    STRUCTURE_CLIP: load_structure_clip,
    NOISED_CLIP: load_noised_clip,
    GRAPH_CONDITIONING: load_graph_conditioning,
}


def host(file: Adapter) -> dict[str, Any]:
    """What a library's module is built with here: ComfyUI's operations, the file's dtype, and where it rests."""
    return {
        "operations": comfy.ops.manual_cast,
        "dtype": comfy.utils.weight_dtype(file.state_dict),
        "device": comfy.model_management.unet_offload_device(),
    }


def in_comfyui(module: torch.nn.Module) -> comfy.model_patcher.ModelPatcher:
    """A module, for use, under ComfyUI's memory management."""
    return comfy.model_patcher.CoreModelPatcher(
        module.eval(),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


def knowledge_patcher(file: Adapter) -> comfy.model_patcher.ModelPatcher:
    """The knowledge encoder in an adapter file, a text model in ComfyUI's eyes."""
    from ..sg_models.adapters.structure_clip import build_knowledge  # late, as above

    offload_device = comfy.model_management.text_encoder_offload_device()
    return comfy.model_patcher.ModelPatcher(
        build_knowledge(file).to(offload_device),
        load_device=comfy.model_management.text_encoder_device(),
        offload_device=offload_device,
    )
