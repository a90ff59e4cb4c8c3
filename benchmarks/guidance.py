"""Runs inside ComfyUI's own interpreter: what a step of sampling costs with each node of guidance, through each eye.

    python guidance.py <ComfyUI> <pack> <base directory> <cpu or cuda> <result.json>

On SG-Mini with its shipped eyes, and at SD 2.1's full size with a CLIP Vision of ViT-H's shape, of random weights as
the base is. The cases take turns, several times over, and the fastest turn of each counts.
"""

import asyncio
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

COMFYUI, PACK, BASE_DIRECTORY = (Path(argument) for argument in sys.argv[1:4])
CUDA, RESULT = sys.argv[4] == "cuda", Path(sys.argv[5])
sys.argv[1:] = ["--disable-api-nodes", "--base-directory", str(BASE_DIRECTORY)]
sys.argv += ["--bf16-unet"] if CUDA else ["--cpu", "--fp32-unet"]
sys.path.insert(0, str(COMFYUI))

import comfy.options  # noqa: E402

comfy.options.enable_args_parsing()

import comfy.clip_vision  # noqa: E402
import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402

import nodes  # noqa: E402

GRAPHS = {
    "sg_mini": "small red circle @ 0.1 0.1 0.4 0.4 | left of | large blue square @ 0.5 0.2 0.9 0.6",
    "sd21-base": "red dog @ 0.0625 0.375 0.3125 0.625 | left of | blue house @ 0.375 0.25 0.875 0.625",
}
SIDES = {"sg_mini": 128, "sd21-base": 256}
ROUNDS = {"sg_mini": 3, "sd21-base": 1}
STEPS = {"sg_mini": 4, "sd21-base": 1}
KINDS = {  # at full size, where a CPU takes minutes for each: one that looks once, and one that looks at every box
    "sg_mini": ("language", "content", "spatial", "style", "graph"),
    "sd21-base": ("language", "graph"),
}
CFG = 4.0


def run(node: str, **inputs: Any) -> Any:
    return nodes.NODE_CLASS_MAPPINGS[node].execute(**inputs).args[0]


def pack(module: str) -> Any:
    return import_module(f"{str(PACK).replace('.', '_x_')}.{module}")


def vit_h() -> comfy.clip_vision.ClipVisionModel:
    """A CLIP Vision of ViT-H's shape with random weights."""
    config = json.loads((COMFYUI / "comfy" / "clip_vision_config_h.json").read_text())
    model = comfy.clip_vision.ClipVisionModel(config)
    for parameter in model.model.parameters():
        parameter.normal_(std=0.02)
    return model


class Bench:
    """A base and the models that guide it."""

    def __init__(self, base: str) -> None:
        self.base, self.side = base, SIDES[base]
        checkpoint = folder_paths.get_full_path_or_raise("checkpoints", f"{base}.safetensors")
        self.model, self.clip, self.vae = comfy.sd.load_checkpoint_guess_config(checkpoint)[:3]
        self.positive, self.negative = (nodes.CLIPTextEncode().encode(self.clip, text)[0] for text in ("an image", ""))

    def eyes(self) -> dict[str, dict[str, Any]]:
        """What each eye is connected to."""
        if self.base == "sg_mini":
            adapter = run("SGAdapterLoader", adapter_name="noised-clip-sg-mini.safetensors")
            return {f"{eye} eye": {"adapter": adapter, "eye": eye} for eye in ("noised", "predicted", "clean")}
        return {"clean eye, ViT-H": {"clip_vision": vit_h()}}

    def guided(self, kind: str, eye: dict[str, Any]) -> Any:
        common = {"model": self.model, "scale": 1.0, "start": 0.0, "end": 1.0, "vae": self.vae, **eye}
        if kind == "language":
            return run("SGLanguageGuidance", clip=self.clip, text="a red circle", **common)
        if kind == "graph":
            graph = pack("sg_models.graph.formats").parse_scene_graph(GRAPHS[self.base])
            lists = {name: [value] for name, value in {"clip": self.clip, "scene_graph": graph, **common}.items()}
            return run("SGGraphGuidance", **lists)
        return run("SGImageGuidance", image=torch.rand(1, self.side, self.side, 3), kind=kind, **common)

    def seconds(self, model: Any, batch: int) -> float:
        """Of a step."""
        noise, steps = torch.randn(batch, 4, self.side // 8, self.side // 8), STEPS[self.base]
        started = time.perf_counter()
        comfy.sample.sample(
            *(model, noise, steps, CFG, "euler", "normal", self.positive, self.negative, torch.zeros_like(noise)),
            disable_pbar=True,
            seed=1,
        )
        if CUDA:
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / steps


def measure(bench: Bench, batch: int) -> dict[str, float]:
    """Seconds of a step of each case."""
    cases = {"unguided": bench.model}
    for name, eye in bench.eyes().items():
        cases |= {f"{kind}, {name}": bench.guided(kind, eye) for kind in KINDS[bench.base]}
    found: dict[str, list[float]] = {name: [] for name in cases}
    for model in cases.values():
        bench.seconds(model, batch)  # which loads what it needs
    for _ in range(ROUNDS[bench.base]):
        for name, model in cases.items():
            found[name].append(bench.seconds(model, batch))
    return {name: min(times) for name, times in found.items()}


def main() -> None:
    asyncio.run(nodes.load_custom_node(str(PACK)))
    with torch.inference_mode():
        results = {
            "SG-Mini, 128², batch 1": measure(Bench("sg_mini"), 1),
            "Stable Diffusion 2.1-base, 256², batch 1": measure(Bench("sd21-base"), 1),
        }
    RESULT.write_text(json.dumps(results, indent=1))


main()
