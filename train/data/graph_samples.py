"""Training samples of Shapes for whatever is conditioned on graphs: latents, and graphs with gaps."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from tqdm import tqdm

from sg_models.adapters.gsa_adapter import graph_data
from sg_models.adapters.phrase_features import EncodeGraphs, Features
from sg_models.graph.scene_graph import SceneGraph
from train.data.graph_variation import told
from train.data.shapes.scene import scene, seeds
from train.data.spatial_relations import RELATIONS, nests

NULL_RATE = 0.10
NESTED_RATE = 0.4  # of samples that are drawn from nested scenes alone: they are few and the hardest


class GraphSamples:
    """Latents and graphs by sample index; what a graph leaves unsaid is drawn from the index too.

    `latents` [N, 4, h, w] of the first N scenes of a split.
    """

    def __init__(self, latents: Tensor, split: str, encode: EncodeGraphs) -> None:
        self.latents, self.encode = latents, encode
        self.graphs = [scene(s).graph for s in tqdm(seeds(split, len(latents)), desc=f"{split} graphs", mininterval=5)]
        self.nested = [i for i, graph in enumerate(self.graphs) if nests(graph)]

    def __call__(self, indices: Sequence[int]) -> tuple[Tensor, Batch, Tensor]:
        """Latents [B, 4, h, w], the PyG batch of their graphs, and which of them are to be null [B]."""
        rngs = [np.random.default_rng((i, 13)) for i in indices]
        which = [self.one(rng) for rng in rngs]
        whole = [self.graphs[w] for w in which]
        graphs = [told(graph, rng) for graph, rng in zip(whole, rngs, strict=True)]
        is_null = torch.tensor([rng.random() < NULL_RATE for rng in rngs])
        return self.latents[which], self.batch(graphs, whole), is_null

    def one(self, rng: np.random.Generator) -> int:
        """A scene's place, at random."""
        if self.nested and rng.random() < NESTED_RATE:
            return int(rng.choice(self.nested))
        return int(rng.integers(len(self.graphs)))

    def batch(self, graphs: Sequence[SceneGraph], whole: Sequence[SceneGraph]) -> Batch:
        """Graphs as one PyG batch.

        `whole` are the same with all their boxes, which go along as `layout` [O, 4]; so do the relations' positions in
        `RELATIONS`, as `relation` [R].
        """
        return Batch.from_data_list(list(map(self.data, graphs, self.encode(graphs), whole)))

    def data(self, graph: SceneGraph, features: Features, whole: SceneGraph) -> Data:
        """One graph of a batch."""
        data = graph_data(graph, features)
        data.layout = torch.tensor([thing.box for thing in whole.objects])
        data.relation = torch.tensor([RELATIONS.index(r.predicate) for r in graph.relations], dtype=torch.long)
        return data
