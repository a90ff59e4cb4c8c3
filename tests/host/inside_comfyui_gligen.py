"""Runs inside ComfyUI's own interpreter: GLIGEN's weights through our nodes and through core's, on SD 1.x and 2.x.

    python inside_comfyui_gligen.py <ComfyUI> <pack> <base directory> <output directory>

The bases have their exact layouts, few channels and random weights, which lie in the output directory.
"""

import asyncio
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

COMFYUI, PACK, BASE_DIRECTORY, OUTPUT = (Path(argument) for argument in sys.argv[1:5])
sys.argv[1:] = ["--cpu", "--force-fp32", "--disable-api-nodes", "--base-directory", str(BASE_DIRECTORY)]
sys.path.insert(0, str(COMFYUI))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.model_detection  # noqa: E402
import comfy.model_management  # noqa: E402
import comfy.model_patcher  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.utils  # noqa: E402
import torch  # noqa: E402
from comfy.patcher_extension import WrappersMP  # noqa: E402
from gligen_cases import BASES, CFG, END, GRAPH, SIDE, SMALL, STEPS, TEXT_LAYERS  # noqa: E402
from safetensors.torch import load_file, save_file  # noqa: E402

import nodes  # noqa: E402

FEW_LAYERS = {"num_hidden_layers": 2, "intermediate_size": 64, "num_attention_heads": 4}


def run(node: str, **inputs: Any) -> tuple:
    return nodes.NODE_CLASS_MAPPINGS[node].execute(**inputs).args


def pack(module: str) -> Any:
    return import_module(f"{str(PACK).replace('.', '_x_')}.{module}")


def parse(text: str) -> Any:
    return pack("sg_models.graph.formats").parse_scene_graph(text)


def error_of(action: Any) -> str:
    try:
        action()
    except Exception as error:
        return str(error)
    return "no error"


class Base:
    """A small Stable Diffusion of ComfyUI's own classes."""

    def __init__(self, name: str) -> None:
        kind, text_model, self.gligen_name = BASES[name]
        tensors = load_file(OUTPUT / f"{name}.safetensors")
        unet = {k.removeprefix("unet."): v for k, v in tensors.items() if k.startswith("unet.")}
        config = getattr(comfy.supported_models, kind)(comfy.model_detection.detect_unet_config(unet, ""))
        config.set_inference_dtype(torch.float32, None)
        model = config.get_model(unet, "")
        model.load_model_weights(unet, "")
        devices = comfy.model_management.get_torch_device(), comfy.model_management.unet_offload_device()
        self.model = comfy.model_patcher.CoreModelPatcher(model, *devices)
        text = {k.removeprefix("text."): v for k, v in tensors.items() if k.startswith("text.")}
        layers = FEW_LAYERS | ({"num_hidden_layers": TEXT_LAYERS} if kind == "SD20" else {})
        self.clip = comfy.sd.CLIP(
            config.clip_target(), model_options={f"{text_model}_model_config": layers, "dtype": torch.float32}
        )
        inner = getattr(self.clip.cond_stage_model, text_model).transformer
        missing = inner.load_state_dict(text, strict=False)[0]
        assert set(missing) <= {"text_projection.weight"}, missing
        (caption,) = run("SGCaption", scene_graph=parse(GRAPH))
        self.positive, self.negative = (nodes.CLIPTextEncode().encode(self.clip, text)[0] for text in (caption, ""))

    def embeds(self, adapter: Any, graph: str = GRAPH) -> Any:
        return run("GraphEncoder", scene_graph=parse(graph), clip=self.clip, adapter=adapter)[0]

    def apply(self, adapter: Any, graph: str = GRAPH, **changes: Any) -> tuple:
        inputs = {"model": self.model, "positive": self.positive, "negative": self.negative, "adapter": adapter}
        schedule = {"strength": 1.0, "start": 0.0, "end": 1.0}
        return run("GatedSelfAttentionPatch", embeds=self.embeds(adapter, graph), **{**inputs, **schedule, **changes})

    def core(self, feature: Any = None) -> list:
        """Core's way: a box of text after the other; `feature` in place of what it makes of a text."""
        (gligen,) = nodes.GLIGENLoader().load_gligen(f"{self.gligen_name}.safetensors")
        positive = self.positive
        for thing in parse(GRAPH).objects:
            x0, y0, x1, y1 = (round(SIDE * edge) for edge in thing.box)
            node = nodes.GLIGENTextBoxApply()
            (positive,) = node.append(positive, self.clip, gligen, thing.phrase, x1 - x0, y1 - y0, x0, y0)
        if feature is not None:
            kind, patcher, boxes = positive[0][1]["gligen"]
            boxes = [(feature(t.phrase), *box[1:]) for t, box in zip(parse(GRAPH).objects, boxes, strict=True)]
            positive[0][1]["gligen"] = kind, patcher, boxes
        return positive

    def sample(self, model: Any, positive: list, negative: list, cfg: float = 1.0) -> torch.Tensor:
        noise = torch.randn(1, 4, SIDE // 8, SIDE // 8, generator=torch.Generator().manual_seed(1))
        conditions = (positive, negative, torch.zeros_like(noise))
        return comfy.sample.sample(model, noise, STEPS, cfg, "ddim", "simple", *conditions, disable_pbar=True, seed=1)


class Recorder:
    """Keeps what goes into the UNet and what comes out, call by call."""

    def __init__(self, model: Any) -> None:
        self.model, self.calls = model.clone(), []
        wrappers = self.model.wrappers.get(WrappersMP.DIFFUSION_MODEL, {})
        self.model.wrappers[WrappersMP.DIFFUSION_MODEL] = {"recorder": [self], **wrappers}  # outermost

    def __call__(self, executor, x, timesteps, context, *args, **kwargs):
        out = executor(x, timesteps, context, *args, **kwargs)
        tokens = [value for name, value in kwargs.items() if name.startswith("scene_graph_tokens")]
        given = {"x": x, "timesteps": timesteps, "context": context, "out": out}
        self.calls.append(given | ({"tokens": tokens[0]} if tokens else {}))
        return out


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return (a - b).abs().max().item()


def measure(name: str, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
    base = Base(name)
    file = base.gligen_name if name == "sd15" else f"gligen-{name}"
    (adapter,) = run("SGAdapterLoader", adapter_name=f"{file}.safetensors")
    model, positive, negative = base.apply(adapter)
    recorder = Recorder(model)
    guided = base.sample(recorder.model, positive, negative, CFG)
    for key, tensor in recorder.calls[0].items():
        tensors[f"{name}.{key}"] = tensor
    ours, plain = base.sample(model, positive, negative), base.sample(base.model, base.positive, base.negative)
    core, vectors = base.core(), pack("nodes.phrase_vectors").clip_vectors
    counter, rows = Recorder(base.model), []
    base.sample(counter.model, core, base.negative, CFG)
    block = adapter.patcher.model.gated_attention.block("middle_block.1")
    handle = block.register_forward_hook(lambda _, given, out: rows.append(len(out)))
    base.sample(*base.apply(adapter, end=END), CFG)
    handle.remove()
    half = base.model.clone()
    half.set_model_compute_dtype(torch.bfloat16)
    return {
        "loaded": [adapter.file.kind, adapter.file.base],
        "from_base": difference(ours, plain),
        "from_core": difference(ours, base.sample(base.model, core, base.negative)),
        "from_core_with_our_feature": difference(
            ours, base.sample(base.model, base.core(lambda phrase: vectors(base.clip, [phrase])), base.negative)
        ),
        "calls": [len(call["x"]) for call in recorder.calls],
        "core_calls": [len(call["x"]) for call in counter.calls],
        "until_end": rows,
        "masks": difference(ours, base.sample(*base.apply(adapter, masks=True))),
        "negative_left_alone": difference(guided, base.sample(*base.apply(adapter, on_negative=False), CFG)),
        "half": difference(base.sample(*base.apply(adapter, model=half)), ours) / ours.abs().max().item(),
        "small_box": error_of(lambda: base.sample(*base.apply(adapter, SMALL))),
        "no_box": error_of(lambda: base.embeds(adapter, "dog | left of | cat")),
        "seed_places_nothing": difference(
            *(run("GraphEncoder", scene_graph=parse(GRAPH), clip=base.clip, adapter=adapter, layout_seed=seed)[0]
              .graphs[0].batch.box for seed in (0, 7))
        ),
    }  # fmt: skip


def main() -> None:
    asyncio.run(nodes.load_custom_node(str(PACK)))
    tensors: dict[str, torch.Tensor] = {}
    with torch.inference_mode():
        results: dict[str, Any] = {name: measure(name, tensors) for name in BASES}
        (one,) = run("SGAdapterLoader", adapter_name="textbox-1.safetensors")
        two = Base("sd21-base")
        results["errors"] = {
            "which_2_x": error_of(lambda: run("SGAdapterLoader", adapter_name="textbox-2.safetensors")),
            "other_clip": error_of(lambda: two.embeds(one)),
            "other_base": error_of(lambda: apply_to(two, one)),
        }
        results["offered"] = pack("nodes.model_folders").adapter_names()
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OUTPUT / "tensors.safetensors")
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=1))


def apply_to(other: Base, adapter: Any) -> tuple:
    """An adapter, with embeds of its own base, on another base's model."""
    embeds = Base("sd15").embeds(adapter)
    inputs = {"model": other.model, "positive": other.positive, "negative": other.negative}
    return run("GatedSelfAttentionPatch", adapter=adapter, embeds=embeds, strength=1.0, start=0.0, end=1.0, **inputs)


main()
