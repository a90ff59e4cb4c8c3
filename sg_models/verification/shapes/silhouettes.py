"""What Shapes is made of, as far as a picture shows it: outlines, colours and sizes."""

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw

from ...graph.spatial_relations import Box

SIDE = 128  # pixels
SHAPES = ("circle", "square", "triangle", "star", "cross")
COLOURS = {
    "red": (220, 40, 40),
    "orange": (245, 140, 30),
    "yellow": (240, 215, 50),
    "green": (50, 160, 70),
    "cyan": (60, 200, 210),
    "blue": (45, 85, 210),
    "purple": (145, 65, 180),
    "black": (30, 30, 30),
}
RADII = {"small": (11.0, 14.0), "large": (20.0, 26.0)}  # pixels


@lru_cache
def outline(shape: str) -> np.ndarray:
    """Corners [P, 2] of a shape of radius 1 around its centroid, y down; a circle as a 64-gon."""
    if shape == "circle":
        return _ring(64, 1.0)
    if shape == "square":
        return np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)], float)
    if shape == "triangle":
        return _ring(3, 1.0)
    if shape == "star":
        inner = math.cos(math.radians(72)) / math.cos(math.radians(36))  # a pentagram's
        return np.stack([_ring(5, 1.0), _ring(5, inner, turn=36)], axis=1).reshape(10, 2)
    arm = 1 / 3
    quarter = np.array([(-arm, -1), (arm, -1), (arm, -arm)])
    rotation = np.array([(0.0, 1.0), (-1.0, 0.0)])
    parts = [quarter]
    for _ in range(3):
        parts.append(parts[-1] @ rotation)
    return np.concatenate(parts)


@lru_cache
def extent(shape: str) -> Box:
    """(x0, y0, x1, y1) of a shape of radius 1 around its centroid."""
    points = outline(shape)
    (x0, y0), (x1, y1) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return x0, y0, x1, y1


@lru_cache(maxsize=4096)
def stencil(shape: str, size: tuple[int, int]) -> np.ndarray:
    """A shape's silhouette stretched to fill a box of (height, width) pixels: bool [H, W]."""
    height, width = size
    x0, y0, x1, y1 = extent(shape)
    points = (outline(shape) - (x0, y0)) / (x1 - x0, y1 - y0) * (width * 4, height * 4) - 0.5
    canvas = Image.new("L", (width * 4, height * 4))
    ImageDraw.Draw(canvas).polygon([tuple(p) for p in points], fill=255)
    return np.asarray(canvas.reduce(4)) > 127


def _ring(count: int, radius: float, turn: float = 0.0) -> np.ndarray:
    """`count` points [P, 2] clockwise on a circle, the first one straight up plus `turn` degrees."""
    angles = np.radians(np.arange(count) * 360 / count + turn - 90)
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=1)
