"""Shapes as a data set: its scenes in splits, rendered at any size, with masks and the oracle as the judge."""

import hashlib
from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.shapes.oracle import judge
from sg_models.verification.shapes.silhouettes import stencil
from sg_models.verification.verdict import Verdict
from train.data.shapes.scene import Scene, render, scene, seeds
from train.data.spatial_relations import nests

FINGERPRINTED = 16  # pictures: Shapes may change, and what was made of it with it


class ShapesSplit:
    """The first `count` scenes of a split."""

    dataset = "shapes"

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count

    @cached_property
    def scenes(self) -> list[Scene]:
        """With everything that a graph does not say."""
        return [scene(s) for s in tqdm(seeds(self.name, self.count), desc=f"{self.name} scenes", mininterval=5)]

    @cached_property
    def graphs(self) -> list[SceneGraph]:
        """With all boxes."""
        return [made.graph for made in self.scenes]

    @cached_property
    def nested(self) -> np.ndarray:
        """The places of scenes with one object inside another."""
        return np.flatnonzero([nests(graph) for graph in self.graphs])

    def pictures(self, places: Sequence[int], side: int) -> np.ndarray:
        """uint8 [B, side, side, 3]."""
        return np.stack([render(self.scenes[place], side) for place in places])

    def masks(self, place: int, side: int) -> Tensor:
        """The outlines of a scene's objects, each within its own box: bool [O, side, side]."""
        things = self.graphs[place].objects
        return torch.stack([torch.from_numpy(stencil(thing.name, (side, side))) for thing in things])

    def fingerprint(self) -> str:
        """SHA-256 of the first pictures."""
        pictures = (render(scene(s)).tobytes() for s in seeds(self.name, FINGERPRINTED))
        return hashlib.sha256(b"".join(pictures)).hexdigest()


class Shapes:
    """The procedural world of `scene.py`."""

    name = ShapesSplit.dataset
    title = "Shapes, a synthetic world"
    test_splits = ("held-out", "compositional")
    endless = True
    large_area = 0.129
    nested_rate = 0.4  # they are few and the hardest

    def split(self, name: str, count: int) -> ShapesSplit:
        """The first `count` scenes of a split."""
        return ShapesSplit(name, count)

    def judge(self, picture: np.ndarray, graph: SceneGraph) -> Verdict:
        """What the oracle says of a picture."""
        return judge(picture, graph)
