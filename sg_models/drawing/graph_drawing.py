"""A readable picture of a scene graph: objects as rounded boxes, relations as labelled arrows."""

import numpy as np
from PIL import Image, ImageDraw

from ..graph.scene_graph import SceneGraph
from .graph_drawing_plan import LABEL_SCALE, LINE_HEIGHT, Array, best_plan, fitting_scene
from .label_font import font_for

MIN_SIDE, MAX_SIDE = 64, 4096  # pixels
SUPERSAMPLING = 2  # PIL draws without antialiasing: draw large, then shrink
BACKGROUND, NODE_FILL, NODE_EDGE, INK = "#fbfaf7", "#dbe9f9", "#2f5d8c", "#14202b"
ARROW, LABEL_INK = "#5b6670", "#8a2f12"


def draw_scene_graph(graph: SceneGraph, width: int = 512, height: int = 512) -> Image.Image:
    """Draws `graph` as an RGB picture of `width` x `height` pixels (each 64 to 4096).

    Texts wrap and shrink to fit. Parallel and opposite relations run side by side. Where every object has a box and the
    picture stays readable, objects stand at the centres of their boxes. Letters beyond English need a system font (see
    `label_font`). Raises ValueError for sizes out of range.
    """
    if not (MIN_SIDE <= width <= MAX_SIDE and MIN_SIDE <= height <= MAX_SIDE):
        raise ValueError(f"a picture of {width} x {height} pixels; each side must be {MIN_SIDE} to {MAX_SIDE}")
    scene = fitting_scene(graph, width * SUPERSAMPLING, height * SUPERSAMPLING, SUPERSAMPLING)
    plan = best_plan(graph, scene)
    image = Image.new("RGB", (scene.width, scene.height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    for curve in plan.curves:
        _draw_arrow(draw, curve, scene.font_size)
    for lines, size, centre in zip(scene.node_lines, scene.node_sizes, plan.centres, strict=True):
        box = (*(centre - size / 2), *(centre + size / 2))
        line_width = max(2, round(scene.font_size / 10))
        draw.rounded_rectangle(box, scene.font_size / 2, fill=NODE_FILL, outline=NODE_EDGE, width=line_width)
        _draw_text(draw, lines, centre, scene.font_size, INK)
    for lines, size, centre in zip(scene.label_lines, scene.label_sizes, plan.labels, strict=True):
        draw.rounded_rectangle((*(centre - size / 2), *(centre + size / 2)), size[1] / 4, fill=BACKGROUND)
        _draw_text(draw, lines, centre, scene.font_size * LABEL_SCALE, LABEL_INK)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def _draw_text(draw: ImageDraw.ImageDraw, lines: list[str], centre: Array, font_size: float, ink: str) -> None:
    top = centre[1] - (len(lines) - 1) * LINE_HEIGHT * font_size / 2
    for i, line in enumerate(lines):
        y = top + i * LINE_HEIGHT * font_size
        draw.text((float(centre[0]), float(y)), line, fill=ink, font=font_for(line, font_size), anchor="mm")


def _draw_arrow(draw: ImageDraw.ImageDraw, curve: Array, font_size: float) -> None:
    line_width, head = max(2, round(font_size / 9)), font_size * 0.6
    tip = curve[-1]
    # The head points along the last stretch of the curve, and the line ends inside it.
    before = np.flatnonzero(np.hypot(*(curve - tip).T) >= head)
    base = curve[before[-1]] if len(before) else curve[0]
    direction = (tip - base) / max(float(np.hypot(*(tip - base))), 1e-6)
    neck = tip - direction * head
    # Drawn stretch by stretch, a straight line would wobble: PIL rounds every point to a pixel.
    is_straight = np.allclose(curve[len(curve) // 2], (curve[0] + tip) / 2, atol=line_width)
    line = [*curve[: before[-1] + 1], neck] if len(before) and not is_straight else [curve[0], neck]
    draw.line([(float(x), float(y)) for x, y in line], fill=ARROW, width=line_width, joint="curve")
    side = np.array([-direction[1], direction[0]]) * head * 0.5
    draw.polygon([(float(x), float(y)) for x, y in (tip, neck + side, neck - side)], fill=ARROW)
