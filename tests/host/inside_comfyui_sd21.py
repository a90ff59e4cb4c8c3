"""Runs inside ComfyUI's own interpreter on SD 2.1-base at its full size: what its UNet says with each kind of adapter.

    python inside_comfyui_sd21.py <ComfyUI> <pack> <base directory> <output directory> <fp32 or bf16>

The weights are random ones that `tests/full_size/make_sd21.py` wrote. Inputs and outputs of one UNet call per case, and
of every gated layer, go to `tensors-<precision>.safetensors`.
"""

import asyncio
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

COMFYUI, PACK, BASE_DIRECTORY, OUTPUT, PRECISION = (Path(argument) for argument in sys.argv[1:6])
options = ["--cpu", f"--{PRECISION}-unet", "--fp32-text-enc", "--disable-api-nodes", "--base-directory"]
sys.argv[1:] = [*options, str(BASE_DIRECTORY)]
sys.path.insert(0, str(COMFYUI))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy.patcher_extension import WrappersMP  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from sd21_cases import GRAPH, PHRASES, SIDE  # noqa: E402

import nodes  # noqa: E402

CFG = 4.0


def run(node: str, **inputs: Any) -> tuple:
    return nodes.NODE_CLASS_MAPPINGS[node].execute(**inputs).args


def pack(module: str) -> Any:
    return import_module(f"{str(PACK).replace('.', '_x_')}.{module}")


class Recorder:
    """Keeps what goes into the UNet in a run of one step, row by row, and what comes out."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    def sample(self, case: str, model: Any, positive: list, negative: list) -> None:
        watched = model.clone()
        wrappers = watched.wrappers.get(WrappersMP.DIFFUSION_MODEL, {})
        calls: list[dict[str, torch.Tensor]] = []

        def keep(executor, x, timesteps, context, *args, **kwargs):
            out = executor(x, timesteps, context, *args, **kwargs)
            calls.append({"x": x, "timesteps": timesteps, "context": context, "out": out})
            return out

        watched.wrappers[WrappersMP.DIFFUSION_MODEL] = {"recorder": [keep], **wrappers}  # outermost
        noise = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(1))
        still = torch.zeros_like(noise)
        comfy.sample.sample(
            watched, noise, 1, CFG, "euler", "normal", positive, negative, still, disable_pbar=True, seed=1
        )
        for name in calls[0]:
            self.tensors[f"{case}.{name}"] = torch.cat([call[name].float() for call in calls])


def watch_blocks(adapter: Any, tensors: dict[str, torch.Tensor]) -> list:
    """Keeps what each gated layer made of what, in the first call of the next run."""
    blocks = adapter.patcher.model.gated_attention

    def keeper(address: str):
        def keep(module, arguments, out):
            tensors.setdefault(f"block.{address}.in", arguments[0].float().clone())
            tensors.setdefault(f"block.{address}.out", out.float().clone())

        return keep

    return [blocks.block(address).register_forward_hook(keeper(address)) for address in blocks.addresses]


def measure() -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    recorder = Recorder(tensors)
    checkpoint = folder_paths.get_full_path_or_raise("checkpoints", "sd21-base.safetensors")
    model, clip, _ = comfy.sd.load_checkpoint_guess_config(checkpoint)[:3]
    positive, negative = (nodes.CLIPTextEncode().encode(clip, text)[0] for text in ("an image", ""))
    tensors["phrases"] = pack("nodes.phrase_vectors").clip_vectors(clip, PHRASES)
    graph = pack("sg_models.graph.formats").parse_scene_graph(GRAPH)
    schedule = {"strength": 1.0, "start": 0.0, "end": 1.0}

    (gsa,) = run("SGAdapterLoader", adapter_name="gsa.safetensors")
    (embeds,) = run("GraphEncoder", scene_graph=graph, clip=clip, adapter=gsa)
    tensors["tokens"], tensors["null_tokens"] = pack("nodes.gated_attention_nodes").grounding_tokens(gsa, embeds)
    (layout_adapter,) = run("SGAdapterLoader", adapter_name="controlnet.safetensors")
    (objects,) = run("GraphEncoder", scene_graph=graph, clip=clip, adapter=layout_adapter)
    layout = run("LayoutPredictor", adapter=layout_adapter, embeds=objects, width=SIDE, height=SIDE)[0]
    tensors["control"] = layout.control
    lora = nodes.LoraLoaderModelOnly().load_lora_model_only(model, "lora.safetensors", 1.0)[0]

    def grounded(on: Any, *conditionings: list) -> tuple:
        return run(
            "GatedSelfAttentionPatch",
            **{"model": on, "adapter": gsa, "embeds": embeds},
            positive=conditionings[0],
            negative=conditionings[1],
            **schedule,
        )

    def controlled(*conditionings: list) -> tuple:
        return run(
            "SGControlNetApply",
            adapter=layout_adapter,
            layout=layout,
            positive=conditionings[0],
            negative=conditionings[1],
            **schedule,
        )

    recorder.sample("base", model, positive, negative)
    handles = watch_blocks(gsa, tensors)
    recorder.sample("gsa", *grounded(model, positive, negative))
    for handle in handles:
        handle.remove()
    recorder.sample("controlnet", model, *controlled(positive, negative))
    patched, *conditionings = grounded(model, positive, negative)
    recorder.sample("both", patched, *controlled(*conditionings))
    recorder.sample("lora", lora, positive, negative)
    return tensors


asyncio.run(nodes.load_custom_node(str(PACK)))
with torch.inference_mode():
    found = measure()
save_file({name: tensor.contiguous() for name, tensor in found.items()}, OUTPUT / f"tensors-{PRECISION}.safetensors")
