"""Windows of pictures with what there is to be said about them: the whole, each object, each relation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sg_models.graph.caption import caption, relation_phrase
from sg_models.graph.scene_graph import SceneGraph
from sg_models.guidance.windows import CONTEXT, WHOLE, around, cut_out, hulls
from train.data.dataset import Split
from train.data.graph_samples import sample_rng
from train.data.graph_variation import caption_part

WHOLE_RATE, RELATION_RATE = 0.25, 0.25  # of the windows; the others show an object
ALL_RATE = 0.25  # of whole pictures, whose caption says everything
CONTEXT_JITTER = 0.3  # a window's context is so much larger or smaller at most
CAPTION_RELATIONS, CAPTION_TRIPLES = 6, 24  # as many as CLIP can read of in one sentence
REGIONS = 23  # what a sample's random numbers are for, beside other scripts' uses of the same index


@dataclass(frozen=True)
class Region:
    """A box [4] of a picture, None for the whole, and what it shows."""

    box: Tensor | None
    text: str

    def window(self, rng: np.random.Generator) -> Tensor:
        """A window [4] that shows it, a little off wherever it is not the whole."""
        if self.box is None:
            return torch.tensor(WHOLE)
        return around(self.box[None], CONTEXT + CONTEXT_JITTER * (2 * rng.random() - 1))[0]


def draw_region(graph: SceneGraph, rng: np.random.Generator) -> Region:
    """One of a graph's regions; the whole picture where no object has a box."""
    choice = rng.random()
    boxes = {i: torch.tensor([thing.box]) for i, thing in enumerate(graph.objects) if thing.box is not None}
    relations = [r for r in graph.relations if r.subject in boxes and r.object in boxes]
    if choice < WHOLE_RATE or not boxes:
        return Region(None, caption(caption_part(mentioned(graph, rng), CAPTION_RELATIONS, CAPTION_TRIPLES, rng)))
    if choice < WHOLE_RATE + RELATION_RATE and relations:
        relation = relations[int(rng.integers(len(relations)))]
        return Region(hulls(boxes[relation.subject], boxes[relation.object])[0], relation_phrase(graph, relation))
    place = int(rng.choice(list(boxes)))
    return Region(boxes[place][0], graph.objects[place].phrase)


def mentioned(graph: SceneGraph, rng: np.random.Generator) -> SceneGraph:
    """What somebody says of a whole picture: one time in four all of it, else some of its objects, in any order.

    So that a picture is near to the name of a single thing in it, which guidance asks for.
    """
    if rng.random() < ALL_RATE:
        return graph
    count = int(rng.integers(1, len(graph.objects) + 1))
    return SceneGraph(tuple(graph.objects[int(i)] for i in rng.permutation(len(graph.objects))[:count]))


@dataclass(frozen=True)
class RegionBatch:
    """N windows of B pictures, and as many others at the same regions with other jitter."""

    pictures: Tensor  # [B, 3, H, W] in [0, 1]
    places: list[int]  # B, which scenes they are of
    windows: Tensor  # [N, 4]
    others: Tensor  # [N, 4]
    picture_of: Tensor  # [N]
    texts: list[str]  # N

    def crops(self, windows: Tensor, side: int) -> Tensor:
        """Windows [N, 4] cut out: [N, 3, side, side] in [0, 1]."""
        return cut_out(self.pictures, windows, self.picture_of, side)


class RegionPairs:
    """Pictures of a split, of `side` pixels, with `per_picture` regions each, by sample index."""

    def __init__(self, split: Split, side: int, per_picture: int, seed: int = 0) -> None:
        self.split, self.graphs, self.side, self.per_picture, self.seed = split, split.graphs, side, per_picture, seed

    def __call__(self, indices: Sequence[int]) -> RegionBatch:
        rngs = [sample_rng(index, REGIONS, self.seed) for index in indices]
        places = [int(rng.integers(len(self.graphs))) for rng in rngs]
        drawn = [
            (draw_region(self.graphs[place], rng), rng)
            for place, rng in zip(places, rngs, strict=True)
            for _ in range(self.per_picture)
        ]
        pictures = torch.from_numpy(self.split.pictures(places, self.side))
        return RegionBatch(
            pictures.permute(0, 3, 1, 2).float() / 255,
            places,
            torch.stack([region.window(rng) for region, rng in drawn]),
            torch.stack([region.window(rng) for region, rng in drawn]),
            torch.arange(len(indices)).repeat_interleave(self.per_picture),
            [region.text for region, _ in drawn],
        )
