"""Layouts as pictures: the semantic map that segmentation tools read, and boxes with labels for people."""

import colorsys
import hashlib

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from ..graph.scene_graph import SceneGraph
from .label_font import drawable, font_for

BACKGROUND = (0, 0, 0)
PAPER, INK = (250, 250, 248), (20, 32, 43)
LABEL_SIZE, LINE, PADDING = 13, 2, 3  # pixels


def name_colour(name: str) -> tuple[int, int, int]:
    """A name's own colour, the same in every picture and on every machine."""
    digest = hashlib.sha256(name.encode()).digest()
    red, green, blue = colorsys.hsv_to_rgb(digest[0] / 256, 0.55 + digest[1] / 640, 0.75 + digest[2] / 1280)
    return round(255 * red), round(255 * green), round(255 * blue)


def semantic_map(classes: Tensor, graph: SceneGraph, size: tuple[int, int]) -> Image.Image:
    """What each place shows, in its name's colour, black where nothing is: `size` (width, height) pixels.

    classes [h, w]: 0 for the background, k + 1 for object k.
    """
    palette = np.array([BACKGROUND, *(name_colour(thing.name) for thing in graph.objects)], np.uint8)
    return Image.fromarray(palette[classes.cpu().numpy()]).resize(size, Image.Resampling.NEAREST)


def draw_layout(graph: SceneGraph, boxes: Tensor, size: tuple[int, int]) -> Image.Image:
    """Boxes [O, 4] of a graph's objects with their phrases: `size` (width, height) pixels."""
    picture = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(picture)
    order = sorted(range(len(graph.objects)), key=lambda i: -_area(boxes[i]))  # what is inside comes last
    places = [tuple(round(v * side) for v, side in zip(box, size * 2, strict=True)) for box in boxes.tolist()]
    for i in order:  # all labels first and without a ground: none hides an edge or another label
        _label(draw, graph.objects[i].phrase, places[i], size)
    for i in order:
        x0, y0, x1, y1 = places[i]
        colour = name_colour(graph.objects[i].name)
        draw.rectangle((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)), outline=colour, width=LINE)
    return picture


def draw_boxes(graph: SceneGraph, size: tuple[int, int]) -> Image.Image:
    """A graph's objects at their boxes, with their phrases: `size` (width, height) pixels. All must have a box."""
    return draw_layout(graph, Tensor([thing.box for thing in graph.objects]), size)


def _area(box: Tensor) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _label(draw: ImageDraw.ImageDraw, text: str, box: tuple[int, ...], size: tuple[int, int]) -> None:
    """A label above a box, or where there is no room in it or below it; moved sideways into the picture."""
    text, font = drawable(text), font_for(text, LABEL_SIZE)
    left, top, right, bottom = draw.textbbox((0, 0), text, font)
    width, height = right - left + 2 * PADDING, bottom - top + 2 * PADDING
    x0, y0, _, y1 = box
    fits_inside = y1 - y0 > height + 2 * LINE or y1 + height > size[1]
    y = y0 - height if y0 >= height else y0 + LINE if fits_inside else y1 + LINE
    x = max(0.0, min(x0, size[0] - width))
    draw.text((x + PADDING - left, y + PADDING - top), text, INK, font)
