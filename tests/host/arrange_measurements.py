"""What the nodes that arrange do in ComfyUI, and who uses the boxes: see `inside_comfyui.py`, which imports this."""

from typing import Any

# isort: split
from comfyui_bench import PACK, Bench, difference, error_of, measurement, pack, parse, run

# isort: split
import torch
from comfy_extras.nodes_rtdetr import DrawBBoxes

import nodes

GRAPH = "small red circle | left of | large blue square\nlarge blue square | above | small green star"
SIZE = {"width": 256, "height": 128}


def arranged(text: str = GRAPH, seed: int = 0, **size: int) -> tuple:
    return run("SGArrange", scene_graph=parse(text), seed=seed, **(size or SIZE))


def boxes(graph: Any) -> list[list[float]]:
    return [list(thing.box) for thing in graph.objects]


@measurement
def arrange_node(bench: Bench) -> dict:
    """What comes out of the node: a graph, core's boxes, masks and a picture."""
    graph, frames, masks, drawing = arranged()
    return {
        "boxes": boxes(graph),
        "again": boxes(arranged()[0]),
        "other": boxes(arranged(seed=1)[0]),
        "frames": frames,
        "masks": list(masks.shape),
        "mask_areas": masks.sum(dim=(1, 2)).tolist(),
        "drawing": list(drawing.shape),
        "drawn": drawing.std().item(),
        "given": boxes(arranged("star @ 0.1 0.2 0.3 0.4\ncross | below | star")[0])[0],
        "by_core": list(DrawBBoxes.execute(bboxes=frames, image=torch.zeros(1, 128, 256, 3)).args[0].shape),
    }


@measurement
def arrange_says(bench: Bench) -> dict:
    """What the node says of a graph that cannot be drawn, and one that can."""
    arrange = pack("sg_models.arrangement.arrange").arrange
    wrong = arrange(parse("star | left of | cross\ncross | left of | star"), 0)
    return {"wrong": [wrong.summary(), *wrong.reasons], "right": list(arrange(parse(GRAPH), 0).reasons)}


@measurement
def arranged_boxes_are_used(bench: Bench) -> dict:
    """By gated self-attention, whose latents they change, and by the layout, which keeps them."""
    latents = []
    for seed in (0, 0, 1):
        graph, loud = arranged(seed=seed)[0], bench.adapters["loud"]
        (embeds,) = run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=loud)
        latents.append(bench.sample(*bench.apply(embeds=embeds)))
    layout = bench.load(next((PACK / "models" / "scene_graph").glob("iv-*.safetensors")))
    graph, frames, _, _ = arranged(seed=3, width=128, height=128)
    (embeds,) = run("GraphEncoder", scene_graph=graph, clip=bench.clip, adapter=layout)
    kept = run("LayoutPredictor", adapter=layout, embeds=embeds, width=128, height=128)[1]
    return {
        "again": difference(latents[0], latents[1]),
        "other": difference(latents[0], latents[2]),
        "layout": kept == frames,
    }


@measurement
def pick_box(bench: Bench) -> dict:
    """A box for core's area conditioning, with which the sampler runs."""
    _, frames, _, _ = arranged(width=128, height=128)
    label, box, x, y, width, height = run("SGPickBox", bboxes=frames, number=2)
    (area,) = nodes.ConditioningSetArea().append(bench.prompt(label), width, height, x, y, 1.0)
    (both,) = nodes.ConditioningCombine().combine(bench.positive, area)
    return {
        "picked": [label, box, x, y, width, height],
        "expected": frames[0][1],
        "one": run("SGPickBox", bboxes=box, number=1)[1],
        "flat": run("SGPickBox", bboxes=frames[0], number=3, picture=1)[0],
        "matters": difference(bench.sample(bench.model, both, bench.negative), bench.base()),
        "number": error_of(lambda: run("SGPickBox", bboxes=frames, number=4)),
        "picture": error_of(lambda: run("SGPickBox", bboxes=frames, number=1, picture=2)),
        "empty": error_of(lambda: run("SGPickBox", bboxes=[[]], number=1)),
    }
