"""What the nodes of variants (ii) to (v) and (vii) do in ComfyUI: see `inside_comfyui.py`, which imports this."""

import dataclasses
import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

# isort: split
from comfyui_bench import (
    CFG,
    CHAIN,
    OTHER,
    PACK,
    Bench,
    Spy,
    difference,
    error_of,
    measurement,
    pack,
    parse,
    run,
    write_adapter,
    write_file,
)

# isort: split
import comfy.cldm.cldm
import comfy.ops
import comfy.supported_models
import comfy.utils
import torch
from comfy.model_base import ModelType

import nodes

INFLUENCE_STEPS = 8
PARITY_STEPS = 25
PHRASES = ("dog", "small red circle", "left of", "a very large and rather old brown dog")
BERT = "all-MiniLM-L6-v2"
LAYOUT = {
    "phrase_dim": 128,
    "graph_dim": 32,
    "graph_hidden": 64,
    "graph_layers": 2,
    "box_layers": 1,
    "objects": 16,
    "layout_width": 32,
    "channels": 8,
}
BOX = [0.5, 0.25, 0.875, 0.75]
PLACED = json.dumps(
    {
        "objects": [{"name": "circle", "attributes": ["red"], "box": BOX}, {"name": "square"}],
        "relations": [{"subject": 0, "predicate": "right of", "object": 1}],
    }
)


def controlnet_tensors(bench: Bench, zero: bool) -> dict[str, torch.Tensor]:
    """A ControlNet for SG-Mini with random weights; `zero` leaves its outputs at zero, as before training."""
    config = {k: v for k, v in bench.model.model.model_config.unet_config.items() if k != "out_channels"}
    config |= {"hint_channels": LAYOUT["channels"], "operations": comfy.ops.manual_cast, "dtype": torch.float32}
    tensors = comfy.cldm.cldm.ControlNet(**config).state_dict()
    for name, tensor in tensors.items():
        torch.nn.init.normal_(tensor, std=0.1)
        if zero and name.startswith(("zero_convs", "middle_block_out")):
            torch.nn.init.zeros_(tensor)
    return tensors


def write_layout_adapter(bench: Bench, name: str, *, seed: int, zero: bool = False) -> Any:
    """A loaded layout adapter with random weights."""
    torch.manual_seed(seed)
    module = pack("sg_models.adapters.layout_adapter").LayoutAdapter(LAYOUT)
    controlnet = {f"controlnet.{k}": v for k, v in controlnet_tensors(bench, zero).items()}
    return bench.load(write_file(name, "layout-controlnet", LAYOUT, dict(module.state_dict()) | controlnet))


def predicted(bench: Bench, adapter: Any, graph: str = CHAIN, size: tuple[int, int] = (128, 128)) -> tuple:
    """LayoutPredictor's outputs: layout, bboxes, masks, drawing, semantic map."""
    embeds = run("GraphEncoder", scene_graph=parse(graph), clip=bench.clip, adapter=adapter)[0]
    return run("LayoutPredictor", adapter=adapter, embeds=embeds, width=size[0], height=size[1])


def controlled(bench: Bench, adapter: Any, graph: str = CHAIN, **changes: Any) -> tuple:
    """SGControlNetApply's positive and negative."""
    arguments = {
        "adapter": adapter,
        "layout": changes.pop("layout", None) or predicted(bench, adapter, graph)[0],
        "positive": bench.positive,
        "negative": bench.negative,
        "strength": 1.0,
        "start": 0.0,
        "end": 1.0,
    }
    return run("SGControlNetApply", **{**arguments, **changes})


@measurement
def untrained_controlnet(bench: Bench) -> dict:
    """A ControlNet before training leaves latents as they were: bit for bit where the UNet is called as without it."""
    adapter = write_layout_adapter(bench, "silent-controlnet", seed=1, zero=True)
    together = bench.sample(bench.model, *controlled(bench, adapter, on_negative=True))
    apart = bench.sample(bench.model, *controlled(bench, adapter))
    return {"together": difference(together, bench.base()), "apart": difference(apart, bench.base())}


@measurement
def controlnet(bench: Bench) -> dict:
    """The layout decides the latents, and strength 0 hands everything through."""
    adapter = write_layout_adapter(bench, "loud-controlnet", seed=2)
    first = bench.sample(bench.model, *controlled(bench, adapter))
    off = controlled(bench, adapter, strength=0.0)
    late = bench.sample(bench.model, *controlled(bench, adapter, start=0.9999, on_negative=True))
    return {
        "finite": bool(first.isfinite().all()),
        "from_base": difference(first, bench.base()),
        "between_graphs": difference(first, bench.sample(bench.model, *controlled(bench, adapter, OTHER))),
        "again": difference(first, bench.sample(bench.model, *controlled(bench, adapter))),
        "strength_zero": off[0] is bench.positive and off[1] is bench.negative,
        "outside_schedule": difference(late, bench.base()),
    }


@measurement
def controlnet_and_guidance(bench: Bench) -> dict:
    """Guidance strengthens a layout that the negative has not, and leaves it alone where both have it.

    The prompts are the same, so that nothing but the layout can tell positive from negative.
    """
    adapter = write_layout_adapter(bench, "guided-controlnet", seed=9)
    found: dict[str, Any] = {}
    for name, on_negative in (("positive", False), ("both", True)):
        conditionings = controlled(bench, adapter, negative=bench.positive, on_negative=on_negative)
        spy = Spy(bench.model)
        strong = bench.sample(spy.model, *conditionings)
        weak = bench.sample(bench.model, *conditionings, cfg=1.0)
        found[name] = {"batches": spy.batches, "by_guidance": difference(strong, weak) / weak.abs().max().item()}
        found[name]["negative_untouched"] = conditionings[1] is bench.positive
    return found


@measurement
def controlnet_chain(bench: Bench) -> dict:
    """Two ControlNets add up, whichever comes first, and on both prompts they stay in one UNet call per step."""
    one = write_layout_adapter(bench, "first-controlnet", seed=3)
    two = write_layout_adapter(bench, "second-controlnet", seed=4)

    def both(first: Any, second: Any) -> tuple:
        positive, negative = controlled(bench, first, on_negative=True)
        return controlled(bench, second, positive=positive, negative=negative, on_negative=True)

    spy = Spy(bench.model)
    there = bench.sample(spy.model, *both(one, two))
    return {
        "batches": spy.batches,
        "order": difference(there, bench.sample(bench.model, *both(two, one))),
        "first_alone": difference(there, bench.sample(bench.model, *controlled(bench, one, on_negative=True))),
        "second_alone": difference(there, bench.sample(bench.model, *controlled(bench, two, on_negative=True))),
    }


@measurement
def layout_under_attention(bench: Bench) -> dict:
    """Gated self-attention and a layout ControlNet in one run."""
    adapter = write_layout_adapter(bench, "shared-controlnet", seed=5)
    model, positive, negative = bench.apply()
    both = bench.sample(model, *controlled(bench, adapter, positive=positive, negative=negative))
    return {
        "from_attention": difference(both, bench.sample(model, positive, negative)),
        "from_controlnet": difference(both, bench.sample(bench.model, *controlled(bench, adapter))),
    }


@measurement
def predicted_layout(bench: Bench) -> dict:
    """A box that the graph gives is kept, and every output fits core's nodes."""
    width, height = 256, 128
    adapter = write_layout_adapter(bench, "layout-outputs", seed=6)
    layout, boxes, masks, drawing, semantic_map = predicted(bench, adapter, PLACED, (width, height))
    soft = round((BOX[2] - BOX[0]) * width / pack("sg_models.layers.layout").MASK_SIDE / 2)  # half a cell
    return {
        "boxes": boxes,
        "expected": [BOX[0] * width, BOX[1] * height, (BOX[2] - BOX[0]) * width, (BOX[3] - BOX[1]) * height],
        "control": list(layout.control.shape),
        "masks": list(masks.shape),
        "mask_beside_box": masks[0, :, : round(BOX[0] * width) - soft].max().item(),
        "drawing": list(drawing.shape),
        "semantic_map": list(semantic_map.shape),
        "colours": len(drawing.reshape(-1, 3).unique(dim=0)),
    }


@measurement
def layout_of_another_size(bench: Bench) -> dict:
    """A layout that was predicted for another size than the picture's, which a second pass at twice the size meets."""
    adapter = write_layout_adapter(bench, "refitted", seed=10)
    found = {}
    for size in ((192, 96), (96, 192), (256, 256)):
        noise = torch.randn(1, 4, size[1] // 8, size[0] // 8, generator=torch.Generator().manual_seed(4))

        def drawn(predicted_for: tuple[int, int], noise: torch.Tensor = noise) -> torch.Tensor:
            layout = predicted(bench, adapter, size=predicted_for)[0]
            return bench.sample(bench.model, *controlled(bench, adapter, layout=layout), noise=noise)

        right = drawn(size)
        found["x".join(map(str, size))] = [difference(drawn(other), right) for other in ((128, 128), (512, 512))]
    return found


@measurement
def layout_through_two_passes(bench: Bench) -> dict:
    """The same conditionings in two passes of two sizes: each has the layout of its size, and nothing is left over."""
    adapter = write_layout_adapter(bench, "two-passes", seed=11)
    conditionings = controlled(bench, adapter)
    noise = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(5))
    first = bench.sample(bench.model, *conditionings)
    large = bench.sample(bench.model, *conditionings, noise=noise, denoise=0.5)
    layout = predicted(bench, adapter, size=(256, 256))[0]
    alone = bench.sample(bench.model, *controlled(bench, adapter, layout=layout), noise=noise, denoise=0.5)
    return {"large": difference(large, alone), "again": difference(first, bench.sample(bench.model, *conditionings))}


@measurement
def layout_per_seed(bench: Bench) -> dict:
    """Where the shipped (iv) puts the objects of a chain, for some layout seeds: x, y, width and height in pixels."""
    adapter = bench.load(next((PACK / "models" / "scene_graph").glob("iv-*.safetensors")))

    def boxes(**seed: int) -> list[list[int]]:
        graph = parse(CHAIN)
        (embeds,) = run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=adapter, **seed)
        frame = run("LayoutPredictor", adapter=adapter, embeds=embeds, width=128, height=128)[1][0]
        return [[box["x"], box["y"], box["width"], box["height"]] for box in frame]

    return {"none": boxes(), "seeds": [boxes(layout_seed=seed) for seed in (0, 1, 1, 2)]}


@measurement
def wrong_paths(bench: Bench) -> dict:
    """What a user reads who connects an adapter to the wrong node."""
    layout = write_layout_adapter(bench, "wrong-path", seed=7)
    other = write_layout_adapter(bench, "wrong-path-other", seed=8)
    graph, loud = parse(CHAIN), bench.adapters["loud"]
    made = run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=layout)[0]
    bert_file = write_adapter("for-bert", seed=1, gate=0.0, phrase_encoder="bert")
    bert = bench.load(bert_file)
    loaded = run("SGBertLoader", bert_name=BERT, hub_id="")[0]
    sd21 = write_file("sd21-controlnet", "layout-controlnet", LAYOUT, controlled_state(layout, bench), base="sd21")
    for_sd21 = bench.load(sd21)
    not_its_own = made_by(for_sd21, predicted(bench, layout)[0])
    return {
        "controlnet_in_attention": error_of(lambda: bench.apply(adapter=layout, embeds=made)),
        "attention_in_controlnet": error_of(
            lambda: controlled(bench, loud, layout=predicted(bench, layout)[0])  # its own layout would need a predictor
        ),
        "attention_embeds_in_layout": error_of(
            lambda: run("LayoutPredictor", adapter=layout, embeds=bench.embeds(), width=128, height=128)
        ),
        "other_layout": error_of(lambda: controlled(bench, other, layout=predicted(bench, layout)[0])),
        "other_base": error_of(lambda: controlled(bench, for_sd21, layout=not_its_own, model=bench.model)),
        "other_family": error_of(lambda: controlled(bench, layout, model=fake_sdxl())),
        "wide_positive": error_of(lambda: controlled(bench, layout, positive=[[torch.zeros(1, 77, 1024), {}]])),
        "wide_negative": error_of(lambda: controlled(bench, layout, negative=[[torch.zeros(1, 77, 768), {}]])),
        "no_bert": error_of(lambda: run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=bert)),
        "wrong_bert": error_of(lambda: run("GraphEncoder", scene_graph=graph, adapter=bert, bert=loaded)),
        "no_such_bert": error_of(lambda: run("SGBertLoader", bert_name="nowhere", hub_id="")),
        "no_structure_clip": error_of(
            lambda: run("SGStructureCLIPEncode", scene_graph=graph, clip=bench.clip, adapter=loud, knowledge=1.0)
        ),
    }


def fake_sdxl() -> Any:
    """As much of a Stable Diffusion XL as is asked when a base is told from another."""
    config = comfy.supported_models.SDXL({"context_dim": 2048})
    return SimpleNamespace(model=SimpleNamespace(model_config=config, model_type=ModelType.EPS), object_patches={})


@measurement
def other_clips(bench: Bench) -> dict:
    """What a user reads who connects another base's CLIP, wherever one goes."""
    (shipped,) = (PACK / "models" / "scene_graph").glob("structure-clip-sg-mini*")
    structure_clip = bench.load(shipped)
    no_base = SimpleNamespace(tokenizer=SimpleNamespace())  # such as SDXL's, which has two in one
    sd1 = SimpleNamespace(tokenizer=SimpleNamespace(clip_name="l", clip="clip_l"))
    graph, loud = parse(CHAIN), bench.adapters["loud"]

    def encode(clip: Any) -> Any:
        return run("SGStructureCLIPEncode", scene_graph=graph, clip=clip, adapter=structure_clip, knowledge=1.0)

    return {
        "encoder": error_of(lambda: run("GraphEncoder", scene_graph=graph, clip=sd1, adapter=loud)),
        "structure_clip": error_of(lambda: encode(sd1)),
        "two_in_one": error_of(lambda: encode(no_base)),
        "none": error_of(lambda: encode(None)),
    }


@measurement
def files_for_training(bench: Bench) -> dict:
    """What a user reads who loads what training starts from."""
    kinds = ("gsa-start", "layout", "from-the-future")
    paths = {kind: write_file(f"of-kind-{kind}", kind, {}, {"a": torch.zeros(1)}) for kind in kinds}
    return {kind: error_of(lambda path=path: bench.load(path)) for kind, path in paths.items()}


@measurement
def replaced_file(bench: Bench) -> dict:
    """A file of the same size and time in the place of another is another file, as BERT's is."""
    path = write_adapter("replaced", seed=1, gate=0.0)
    node, other = nodes.NODE_CLASS_MAPPINGS["SGAdapterLoader"], write_adapter("replacing", seed=2, gate=1.0)
    first, print_before = bench.load(path), node.fingerprint_inputs(adapter_name=path.name)
    same = bench.load(path).identity == first.identity
    stat = path.stat()
    path.write_bytes(other.read_bytes().ljust(stat.st_size)[: stat.st_size])
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    bert = nodes.NODE_CLASS_MAPPINGS["SGBertLoader"]
    folder = pack("nodes.bert_nodes").bert_folder(BERT)
    told = {"bert_name": BERT, "hub_id": ""}
    return {
        "same": same,
        "unchanged": path.stat().st_mtime_ns == stat.st_mtime_ns and path.stat().st_size == stat.st_size,
        "other": bench.load(path).identity != first.identity,
        "fingerprint": node.fingerprint_inputs(adapter_name=path.name) != print_before,
        "bert_files": len(bert.fingerprint_inputs(**told)) == sum(p.is_file() for p in folder.iterdir()),
    }


def made_by(adapter: Any, what: Any) -> Any:
    """Embeds or a layout, said to be of another adapter than the one that made it."""
    return dataclasses.replace(what, made_by=adapter.identity)


def controlled_state(adapter: Any, bench: Bench) -> dict[str, torch.Tensor]:
    """The tensors of a layout adapter's file."""
    module = {k: v.float() for k, v in adapter.patcher.model.state_dict().items()}
    return module | {f"controlnet.{k}": v for k, v in controlnet_tensors(bench, zero=True).items()}


@measurement
def bert_phrases(bench: Bench) -> dict:
    """BERT's phrase vectors, of different lengths in one batch, for the parity test."""
    loaded = run("SGBertLoader", bert_name=BERT, hub_id="")[0]
    bench.tensors["bert"] = pack("nodes.phrase_vectors").bert_vectors(loaded, PHRASES)
    return {"texts": PHRASES}


class Warnings(logging.Handler):
    """Collects what is logged from WARNING up."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())


@measurement
def lora(bench: Bench) -> dict:
    """Core's LoRA loader uses every key of the shipped LoRA, and says of none that it was not loaded."""
    handler = Warnings()
    logging.getLogger().addHandler(handler)
    model = with_lora(bench)
    logging.getLogger().removeHandler(handler)
    keys = len(comfy.utils.load_torch_file(str(lora_path()), safe_load=True))
    return {"warnings": handler.messages, "patches": len(model.patches), "keys": keys}


def lora_path() -> Path:
    (path,) = (PACK / "models" / "loras").glob("ii-*.safetensors")
    return path


def with_lora(bench: Bench) -> Any:
    """The base with the shipped LoRA, by core's node."""
    return nodes.LoraLoaderModelOnly().load_lora_model_only(bench.model, lora_path().name, 1.0)[0]


@measurement
def parity(bench: Bench) -> dict:
    """Latents of whole runs, for comparison with the standalone sampler: without adapter, and of each variant."""
    bench.tensors["noise"] = bench.noise

    def keep(name: str, *arguments: Any) -> None:
        bench.tensors[f"parity.{name}"] = bench.sample(*arguments, noise=bench.noise, steps=PARITY_STEPS)

    keep("none", bench.model, bench.prompt(pack("sg_models.graph.caption").caption(parse(CHAIN))), bench.negative)
    for path in sorted((PACK / "models" / "scene_graph").glob("*.safetensors")):
        adapter = bench.load(path)
        if adapter.file.kind == "noised-clip":
            continue
        if adapter.file.kind == "structure-clip":
            graph = {"scene_graph": parse(CHAIN), "clip": bench.clip, "adapter": adapter}
            (positive,) = run("SGStructureCLIPEncode", **graph, knowledge=1.0)
            keep("ii", with_lora(bench), positive, bench.negative)
            continue
        phrases = {"clip": bench.clip}
        if adapter.file.phrase_encoder == "bert":
            phrases = {"bert": run("SGBertLoader", bert_name=BERT, hub_id="")[0]}
        (embeds,) = run("GraphEncoder", scene_graph=parse(CHAIN), adapter=adapter, **phrases)
        if adapter.file.kind == "layout-controlnet":
            layout = run("LayoutPredictor", adapter=adapter, embeds=embeds, width=128, height=128)[0]
            keep(str(path), bench.model, *controlled(bench, adapter, layout=layout))
        else:
            keep(str(path), *bench.apply(adapter=adapter, embeds=embeds))
    return {"steps": PARITY_STEPS, "guidance": CFG, "graph": CHAIN}


@measurement
def influence(bench: Bench) -> dict:
    """Latents of whole runs in which two shipped adapters act less, later and for a while, for the same comparison."""
    acts = {"strength": 0.7, "start": 0.15, "end": 0.6}
    for variant, method in (("vi", "gsa"), ("iv", "controlnet")):
        adapter = bench.load(PACK / "models" / "scene_graph" / f"{variant}-{method}-clip-sg-mini.safetensors")
        (embeds,) = run("GraphEncoder", scene_graph=parse(CHAIN), adapter=adapter, clip=bench.clip)
        if variant == "vi":
            arguments = bench.apply(adapter=adapter, embeds=embeds, on_negative=False, **acts)
        else:
            layout = run("LayoutPredictor", adapter=adapter, embeds=embeds, width=128, height=128)[0]
            arguments = bench.model, *controlled(bench, adapter, layout=layout, **acts)
        bench.tensors[f"influence.{variant}"] = bench.sample(*arguments, noise=bench.noise, steps=INFLUENCE_STEPS)
    return {"steps": INFLUENCE_STEPS, "acts": acts}
