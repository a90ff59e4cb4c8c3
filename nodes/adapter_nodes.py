"""The node that opens an adapter file."""

import dataclasses
import os

import comfy.controlnet
import comfy.model_management
import comfy.model_patcher
import comfy.ops
import comfy.utils
from comfy_api.latest import io

from ..sg_models.adapters.adapter import Adapter, read_adapter
from .attention import host_attention
from .model_folders import ADAPTERS, adapter_names, adapter_path
from .socket_types import CATEGORY, AdapterSocket, LoadedAdapter


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
                    tooltip=f"A .safetensors file in ComfyUI/models/{ADAPTERS}, or one that came with this pack. "
                    "It must have been trained on the base model of the workflow.",
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
    def fingerprint_inputs(cls, adapter_name: str) -> int:
        return os.stat(adapter_path(adapter_name)).st_mtime_ns

    @classmethod
    def execute(cls, adapter_name: str) -> io.NodeOutput:
        return io.NodeOutput(load_adapter(adapter_path(adapter_name)))


def load_adapter(path: str) -> LoadedAdapter:
    """Reads an adapter file into a module that ComfyUI moves between devices.

    Raises `AdapterError` if the file is missing, damaged or not one of this project's.
    """
    # importing the graph encoder takes torch-geometric with it: over a second that ComfyUI's start must not pay
    from ..sg_models.adapters.gsa_adapter import build_adapter, gsa_tensors
    from ..sg_models.adapters.layout_adapter import CONTROLNET, CONTROLNET_KIND, build_layout_adapter
    from ..sg_models.adapters.structure_clip import STRUCTURE_CLIP

    file = read_adapter(path)
    identity = (os.path.realpath(path), os.stat(path).st_mtime_ns)
    header = dataclasses.replace(file, state_dict={})
    knowledge = knowledge_patcher(file) if file.phrase_encoder == STRUCTURE_CLIP else None
    if file.kind == STRUCTURE_CLIP:
        return LoadedAdapter(header, knowledge, identity, knowledge=knowledge)
    offload_device = comfy.model_management.unet_offload_device()
    host = {
        "operations": comfy.ops.manual_cast,
        "dtype": comfy.utils.weight_dtype(file.state_dict),
        "device": offload_device,
    }
    controlnet = None
    if file.kind == CONTROLNET_KIND:
        module = build_layout_adapter(file, **host).eval()
        tensors = module.state_dict()
        half = {k.removeprefix(CONTROLNET): v for k, v in file.state_dict.items() if k.startswith(CONTROLNET)}
        controlnet = comfy.controlnet.load_controlnet_state_dict(half)
    else:
        module = build_adapter(file, attention=host_attention, **host).eval()
        tensors = gsa_tensors(file)
    patcher = comfy.model_patcher.CoreModelPatcher(
        module, load_device=comfy.model_management.get_torch_device(), offload_device=offload_device
    )
    module.load_state_dict(tensors, assign=patcher.is_dynamic())
    return LoadedAdapter(header, patcher, identity, controlnet=controlnet, knowledge=knowledge)


def knowledge_patcher(file: Adapter) -> comfy.model_patcher.ModelPatcher:
    """The knowledge encoder in an adapter file, a text model in ComfyUI's eyes."""
    from ..sg_models.adapters.structure_clip import build_knowledge

    offload_device = comfy.model_management.text_encoder_offload_device()
    return comfy.model_patcher.ModelPatcher(
        build_knowledge(file).to(offload_device),
        load_device=comfy.model_management.text_encoder_device(),
        offload_device=offload_device,
    )
