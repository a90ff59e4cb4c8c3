"""Runs inside ComfyUI's own interpreter: what a step of sampling costs at SD 2.1's full size, with and without graphs.

    python inside_comfyui.py <ComfyUI> <pack> <base directory> <cpu or cuda> <result.json>

All cases of a size take turns in one process, several times over, and the fastest turn of each counts: what else a
machine does only adds to it.
The weights are the random ones of `tests/full_size/make_sd21.py`, in one precision for all.
"""

import asyncio
import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
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

import comfy.sample  # noqa: E402
import comfy.sd  # noqa: E402
import core_ways  # noqa: E402
import folder_paths  # noqa: E402
import torch  # noqa: E402
from comfy.patcher_extension import WrappersMP  # noqa: E402
from flops import flop_counter  # noqa: E402

import nodes  # noqa: E402

GRAPH = "small red dog | left of | large blue house\nlarge blue house | under | white cloud"
# for GLIGEN, and for core's nodes that take boxes
PLACED = (
    "small red dog @ 0.0625 0.375 0.3125 0.625 | left of | large blue house @ 0.375 0.25 0.875 0.625\n"
    "large blue house | under | white cloud @ 0.5 0.0625 0.75 0.25"
)
CFG = 4.0
SIZES = {(256, 1): 5, (256, 4): 3, (512, 1): 3}  # side in pixels, batch: rounds
if CUDA:
    SIZES |= {(512, 4): 2}  # on a CPU half an hour, and 23 GB
STEPS = 10 if CUDA else 1
LONG, SHARE = 20, 0.3  # a whole run, and the part of it in which the graph acts


@dataclass
class Case:
    """A model with its positive and negative, and what was measured of it."""

    model: Any
    positive: list
    negative: list
    seconds: list[float] = field(default_factory=list)
    calls: float = 0.0
    flops: int = 0
    memory: int = 0

    def run(self, side: int, batch: int, steps: int) -> float:
        """Seconds of so many steps."""
        noise = torch.randn(batch, 4, side // 8, side // 8, generator=torch.Generator().manual_seed(1))
        started = time.perf_counter()
        comfy.sample.sample(
            *(self.model, noise, steps, CFG, "euler", "normal", self.positive, self.negative, torch.zeros_like(noise)),
            disable_pbar=True,
            seed=1,
        )
        if CUDA:
            torch.cuda.synchronize()
        return time.perf_counter() - started


def run(node: str, **inputs: Any) -> tuple:
    return nodes.NODE_CLASS_MAPPINGS[node].execute(**inputs).args


def pack(module: str) -> Any:
    return import_module(f"{str(PACK).replace('.', '_x_')}.{module}")


class Bench:
    """The base, our adapters, and core's GLIGEN of the same sizes."""

    def __init__(self) -> None:
        checkpoint = folder_paths.get_full_path_or_raise("checkpoints", "sd21-base.safetensors")
        self.model, self.clip, _ = comfy.sd.load_checkpoint_guess_config(checkpoint)[:3]
        self.positive, self.negative = (nodes.CLIPTextEncode().encode(self.clip, text)[0] for text in ("an image", ""))
        self.graph = pack("sg_models.graph.formats").parse_scene_graph(GRAPH)
        (self.gsa,) = run("SGAdapterLoader", adapter_name="gsa.safetensors")
        self.placed = pack("sg_models.graph.formats").parse_scene_graph(PLACED)
        (self.gligen,) = run("SGAdapterLoader", adapter_name="gligen.safetensors")
        (self.layout_adapter,) = run("SGAdapterLoader", adapter_name="controlnet.safetensors")

    def cases(self, side: int) -> dict[str, Case]:
        return {
            "base": Case(self.model, self.positive, self.negative),
            "ours: gated self-attention": self.attention(),
            "ours: the same, on_negative off": self.attention(on_negative=False),
            "ours: GLIGEN's weights": self.attention(self.gligen, self.placed),
            "ours: regional prompt": self.regional(),
            "core: GLIGEN": self.core(core_ways.gligen(self, side)),
            "core: areas": self.core(core_ways.areas(self, side)),
            "core: masks": self.core(core_ways.masks(self, side)),
            "ours: layout ControlNet": self.controlnet(side, on_negative=False),
            "ours: the same, on_negative on": self.controlnet(side, on_negative=True),
            "core: ControlNet": self.core_controlnet(side),
        }

    def attention(self, adapter: Any = None, graph: Any = None, **changes: Any) -> Case:
        adapter, graph = adapter or self.gsa, graph or self.graph
        (embeds,) = run("GraphEncoder", scene_graph=graph, clip=self.clip, adapter=adapter)
        schedule = {"strength": 1.0, "start": 0.0, "end": 1.0} | changes
        inputs = {"model": self.model, "adapter": adapter, "embeds": embeds}
        prompts = {"positive": self.positive, "negative": self.negative}
        return Case(*run("GatedSelfAttentionPatch", **inputs, **prompts, **schedule))

    def regional(self) -> Case:
        """No weights beside the base's; the node takes lists."""
        inputs = {"model": self.model, "positive": self.positive, "negative": self.negative, "clip": self.clip}
        numbers = {"strength": 1.0, "base_weight": 0.3, "start": 0.0, "end": 1.0}
        lists = {name: [value] for name, value in (inputs | numbers | {"scene_graph": self.placed}).items()}
        return Case(*run("SGRegionalPrompt", **lists))

    def core(self, positive: list) -> Case:
        """Core's way, which is in the prompt alone."""
        return Case(self.model, positive, self.negative)

    def layout(self, side: int) -> Any:
        adapter = self.layout_adapter
        (objects,) = run("GraphEncoder", scene_graph=self.graph, clip=self.clip, adapter=adapter)
        return run("LayoutPredictor", adapter=adapter, embeds=objects, width=side, height=side)[0]

    def controlnet(self, side: int, on_negative: bool) -> Case:
        inputs = {"adapter": self.layout_adapter, "layout": self.layout(side), "on_negative": on_negative}
        prompts = {"positive": self.positive, "negative": self.negative}
        return Case(self.model, *run("SGControlNetApply", **inputs, **prompts, strength=1.0, start=0.0, end=1.0))

    def core_controlnet(self, side: int) -> Case:
        """A ControlNet of the same weights, by core's node, with a picture of the same size."""
        hint = self.layout_adapter.controlnet.copy()
        control = torch.rand(1, self.layout(side).control.shape[1], side // 8, side // 8)
        both = []
        for prompt in (self.positive, self.negative):
            applied = {"control": hint.set_cond_hint(control, 1.0, (0.0, 1.0)), "control_apply_to_uncond": False}
            both.append([[text, more | applied] for text, more in prompt])
        return Case(self.model, *both)


def measure(cases: dict[str, Case], side: int, batch: int, rounds: int) -> None:
    for case in cases.values():  # which also loads the models
        with calls_counted(case), flop_counter() as counter:
            case.run(side, 1, 1)
        case.flops = batch * counter.get_total_flops()
    for number in range(rounds):
        for case in cases.values():
            with peak_memory(case) if number == 0 else nullcontext():
                case.seconds.append(case.run(side, batch, STEPS) / STEPS)


@contextmanager
def calls_counted(case: Case) -> Iterator[None]:
    """Counts the UNet's calls in a run of one step."""
    plain, counted = case.model, case.model.clone()

    def count(executor: Callable, *args: Any, **kwargs: Any) -> Any:
        case.calls += 1
        return executor(*args, **kwargs)

    counted.add_wrapper_with_key(WrappersMP.DIFFUSION_MODEL, "counter", count)
    case.model = counted
    yield
    case.model = plain


@contextmanager
def peak_memory(case: Case) -> Iterator[None]:
    """Peak of what is allocated: of the device, or of the process where there is none."""
    if CUDA:
        torch.cuda.reset_peak_memory_stats()
        yield
        case.memory = torch.cuda.max_memory_allocated()
        return
    ctypes.CDLL(None).malloc_trim(0)  # or else what the cases before have freed counts as resident
    Path("/proc/self/clear_refs").write_text("5")  # sets the peak to what is resident now
    yield
    status = Path("/proc/self/status").read_text()
    case.memory = 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")))


def with_an_end(bench: Bench, side: int) -> dict[str, float]:
    """Seconds of a whole run: of the base, and with a graph that is let go."""
    cases = {"base": Case(bench.model, bench.positive, bench.negative), "graph": bench.attention(end=SHARE)}
    for case in cases.values():
        case.run(side, 1, 1)
    for _ in range(2):
        for case in cases.values():
            case.seconds.append(case.run(side, 1, LONG))
    return {name: min(case.seconds) for name, case in cases.items()}


def graph_share(bench: Bench, side: int) -> dict[str, float]:
    """Seconds of phrases, graph encoder and layout together, beside a whole run of the base."""
    base = Case(bench.model, bench.positive, bench.negative)
    bench.layout(side)  # loads the text encoder
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        bench.layout(side)
        seconds.append(time.perf_counter() - started)
    return {"graph": statistics.median(seconds), "run": LONG * min(base.run(side, 1, 1) for _ in range(2))}


def main() -> None:
    asyncio.run(nodes.load_custom_node(str(PACK)))
    results: dict[str, Any] = {"steps": {}}
    with torch.inference_mode():
        bench = Bench()
        for (side, batch), rounds in SIZES.items():
            cases = bench.cases(side)
            measure(cases, side, batch, rounds)
            results["steps"][f"{side}², batch {batch}"] = {
                name: {
                    "calls": case.calls,
                    "seconds": min(case.seconds),
                    "all_seconds": case.seconds,
                    "flops": case.flops,
                    "memory": case.memory,
                }
                for name, case in cases.items()
            }
            print(json.dumps(results["steps"]), flush=True)
        results["end"] = with_an_end(bench, 256)
        results["share"] = graph_share(bench, 512)
    results["device"] = torch.cuda.get_device_name() if CUDA else "CPU"
    results["threads"] = torch.get_num_threads()
    RESULT.write_text(json.dumps(results, indent=1))


main()
