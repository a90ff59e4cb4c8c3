"""What core ComfyUI's own nodes make of objects with boxes: positive prompts, for a benchmark inside ComfyUI.

Each takes a bench with `model`, `clip`, `positive`, `placed` (a graph whose objects all have boxes) and `gligen` (a
loaded adapter), and the side of the picture in pixels.
"""

from typing import Any

import comfy.gligen
import comfy.model_management
import comfy.model_patcher
import torch

import nodes


def gligen(bench: Any, side: int) -> list:
    """A box of text after the other, with the weights of the bench's adapter."""
    blocks = bench.gligen.patcher.model.gated_attention
    weights = {
        f"{address}.fuser.{name}": tensor
        for address in blocks.addresses
        for name, tensor in blocks.block(address).state_dict().items()
    }
    net = bench.gligen.patcher.model.position_net
    weights |= {f"position_net.{name}": tensor for name, tensor in net.state_dict().items()}
    loaded = comfy.gligen.load_gligen(weights)
    assert len(loaded.module_list) == len(blocks.addresses)
    patcher = comfy.model_patcher.CoreModelPatcher(
        loaded.to(bench.model.model_dtype()), bench.model.load_device, comfy.model_management.unet_offload_device()
    )
    positive = bench.positive
    for thing in bench.placed.objects:
        node = nodes.GLIGENTextBoxApply()
        (positive,) = node.append(positive, bench.clip, patcher, thing.phrase, *in_pixels(thing.box, side))
    return positive


def areas(bench: Any, side: int) -> list:
    """The prompt, and a prompt in an area for each object."""
    node = nodes.ConditioningSetArea()
    parts = [node.append(prompt, *box, 1.0)[0] for prompt, box in prompts(bench, side)]
    return sum(parts, bench.positive)


def masks(bench: Any, side: int) -> list:
    """The prompt, and a prompt under a mask for each object."""
    positive = bench.positive
    for prompt, (width, height, x, y) in prompts(bench, side):
        mask = torch.zeros(1, side, side)
        mask[:, y : y + height, x : x + width] = 1
        positive = positive + nodes.ConditioningSetMask().append(prompt, mask, "default", 1.0)[0]
    return positive


def prompts(bench: Any, side: int) -> list[tuple[list, tuple[int, int, int, int]]]:
    """Each object's phrase, encoded, and its box."""
    encode = nodes.CLIPTextEncode().encode
    return [(encode(bench.clip, thing.phrase)[0], in_pixels(thing.box, side)) for thing in bench.placed.objects]


def in_pixels(box: tuple[float, ...], side: int) -> tuple[int, int, int, int]:
    """Width, height, x and y of a box, as core's nodes have it."""
    x0, y0, x1, y1 = (round(side * edge) for edge in box)
    return x1 - x0, y1 - y0, x0, y0
