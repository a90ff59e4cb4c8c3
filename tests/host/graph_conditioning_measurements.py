"""What *Graph Conditioning* makes of graphs in ComfyUI: see `inside_comfyui.py`, which imports this."""

from typing import Any

# isort: split
from comfyui_bench import (
    CFG,
    CHAIN,
    OTHER,
    STEPS,
    Bench,
    Spy,
    difference,
    error_of,
    measurement,
    pack,
    parse,
    run,
    write_file,
)

# isort: split
import torch

MODES = ("interleave", "append", "replace", "fuse")
LONG = "\n".join(f"small very old brown dog#{n}" for n in range(1, 12))  # more words than half of CLIP's places
SIZES = {
    "phrase_dim": 128,
    "graph_dim": 32,
    "graph_hidden": 64,
    "graph_layers": 2,
    "joint_dim": 48,
    "context_dim": 128,
    "unet": "lora",
}


def write_graph_conditioning(bench: Bench, name: str, mode: str, **changes: Any) -> tuple[Any, str]:
    """A loaded adapter with random weights, and its path."""
    torch.manual_seed(3)
    config = SIZES | {"mode": mode}
    module = pack("sg_models.adapters.graph_conditioning").GraphConditioning(config)
    torch.nn.init.normal_(module.signal.null_graph)
    if mode == "fuse":  # as after training: it begins with zeros
        torch.nn.init.normal_(module.signal.project.out.weight)
    halves = {key: tensor.half() for key, tensor in module.state_dict().items()}
    path = write_file(name, "graph-conditioning", config, halves, **changes)
    return bench.load(path), str(path)


def conditioned(bench: Bench, adapter: Any, *graphs: str, latent: dict | None = None, clip: Any = None) -> tuple:
    """SGGraphConditioning's positive and negative, of inputs that are lists as ComfyUI gives them."""
    inputs = {"scene_graph": [parse(graph) for graph in graphs], "clip": [clip or bench.clip], "adapter": [adapter]}
    return run("SGGraphConditioning", **inputs, latent=None if latent is None else [latent])


@measurement
def graph_conditioning(bench: Bench) -> dict:
    """Contexts of two graphs and a long one in each mode, and latents of a run, for comparison with training's."""
    files = {}
    for mode in MODES:
        adapter, files[mode] = write_graph_conditioning(bench, f"gc-{mode}", mode)
        positive, negative = conditioned(bench, adapter, CHAIN, OTHER, LONG)
        bench.tensors[f"gc.{mode}.positive"], bench.tensors[f"gc.{mode}.negative"] = positive[0][0], negative[0][0]
        if mode == MODES[0]:
            both = conditioned(bench, adapter, CHAIN, OTHER)
            bench.tensors["gc.noise"] = bench.noise.clone()
            bench.tensors["gc.latents"] = bench.sample(bench.model, *both, noise=bench.noise)
    return {"graphs": [CHAIN, OTHER, LONG], "files": files, "steps": STEPS, "guidance": CFG}


@measurement
def graph_conditioning_of_a_batch(bench: Bench) -> dict:
    """A graph for each picture: each is drawn as alone, in one UNet call per step, and the graph matters."""
    adapter, _ = write_graph_conditioning(bench, "gc-batch", MODES[0])
    spy = Spy(bench.model)
    together = bench.sample(spy.model, *conditioned(bench, adapter, CHAIN, OTHER), noise=bench.noise)
    alone = [
        bench.sample(bench.model, *conditioned(bench, adapter, graph), noise=noise[None])
        for graph, noise in zip((CHAIN, OTHER), bench.noise, strict=True)
    ]
    latent = {"samples": bench.noise[1:], "batch_index": [1]}
    second = bench.sample(bench.model, *conditioned(bench, adapter, CHAIN, OTHER, latent=latent), noise=bench.noise[1:])
    return {
        "batches": spy.batches,
        "alone": difference(together, torch.cat(alone)),
        "second": difference(second, alone[1]),
        "from_base": difference(alone[0], bench.base()),
        "between_graphs": difference(
            alone[0], bench.sample(bench.model, *conditioned(bench, adapter, OTHER), noise=bench.noise[:1])
        ),
    }


@measurement
def graph_conditioning_errors(bench: Bench) -> dict:
    """What a user reads."""
    adapter, _ = write_graph_conditioning(bench, "gc-errors", MODES[0])
    aligned = write_file("gca", "gca", {}, {"a": torch.zeros(1)})
    modes = SIZES | {"mode": "sideways"}
    odd = write_file("gc-odd", "graph-conditioning", modes, {"a": torch.zeros(1)})
    skipped = bench.clip.clone()
    skipped.clip_layer(-3)
    plain, skip = (conditioned(bench, adapter, CHAIN, clip=clip)[0][0][0] for clip in (bench.clip, skipped))
    two = {"scene_graph": [parse(CHAIN)], "clip": [bench.clip] * 2, "adapter": [adapter]}
    return {
        "other_kind": error_of(lambda: conditioned(bench, bench.adapters["loud"], CHAIN)),
        "in_encoder": error_of(lambda: run("GraphEncoder", scene_graph=parse(CHAIN), clip=bench.clip, adapter=adapter)),
        "aligned": error_of(lambda: bench.load(aligned)),
        "mode": error_of(lambda: bench.load(odd)),
        "two_clips": error_of(lambda: run("SGGraphConditioning", **two)),
        "clip_skip": difference(plain, skip),
        "fewer": error_of(lambda: bench.sample(bench.model, *conditioned(bench, adapter, CHAIN, OTHER))),
    }
