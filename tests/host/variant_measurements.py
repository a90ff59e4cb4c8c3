"""What the nodes of variants (ii) to (v) and (vii) do in ComfyUI: see `inside_comfyui.py`, which imports this."""

import dataclasses
import json
import logging
from pathlib import Path
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
import comfy.utils
import torch

import nodes

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
    return {
        "controlnet_in_attention": error_of(lambda: bench.apply(adapter=layout, embeds=made)),
        "attention_in_controlnet": error_of(
            lambda: controlled(bench, loud, layout=predicted(bench, layout)[0])  # its own layout would need a predictor
        ),
        "attention_embeds_in_layout": error_of(
            lambda: run("LayoutPredictor", adapter=layout, embeds=bench.embeds(), width=128, height=128)
        ),
        "other_layout": error_of(lambda: controlled(bench, other, layout=predicted(bench, layout)[0])),
        "other_base": error_of(
            lambda: controlled(
                bench, for_sd21, layout=made_by(for_sd21, predicted(bench, layout)[0]), model=bench.model
            )
        ),
        "no_bert": error_of(lambda: run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=bert)),
        "wrong_bert": error_of(lambda: run("GraphEncoder", scene_graph=graph, adapter=bert, bert=loaded)),
        "no_such_bert": error_of(lambda: run("SGBertLoader", bert_name="nowhere", hub_id="")),
        "no_structure_clip": error_of(
            lambda: run("SGStructureCLIPEncode", scene_graph=graph, clip=bench.clip, adapter=loud, knowledge=1.0)
        ),
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
