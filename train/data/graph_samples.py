"""Training samples for whatever is conditioned on graphs: latents, and graphs with gaps."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from sg_models.adapters.phrase_features import EncodeGraphs, Features
from sg_models.graph.scene_graph import SceneGraph
from sg_models.graph.spatial_wordings import spatial_meaning
from sg_models.layers.graph_batch import NOWHERE, UNKNOWN_RELATION, GraphBatch, Targets, graph_batch
from sg_models.layers.layout import MASK_SIDE
from train.data.dataset import Split
from train.data.graph_variation import with_gaps, without_boxes
from train.data.latents import Latents
from train.data.sample_order import NO_PLACES, SampleOrder
from train.data.shards import StoredPhrases
from train.data.spatial_relations import RELATIONS

NULL_RATE = 0.10
GRAPHS = 13  # what a sample's random numbers are for, beside other scripts' uses of the same index


@dataclass(frozen=True)
class SampleBatch:
    """B pictures with their graphs."""

    latents: Tensor  # [B, 4, h, w]
    graphs: list[SceneGraph]  # as the model gets them
    encoded: GraphBatch  # the same with their features, and the whole graphs' boxes as targets
    is_null: Tensor  # [B] bool: which graphs are to be left out

    def to(self, device: torch.device | str) -> "SampleBatch":
        """The same batch on a device."""
        latents, encoded, is_null = (part.to(device) for part in (self.latents, self.encoded, self.is_null))
        return replace(self, latents=latents, encoded=encoded, is_null=is_null)


class GraphSamples:
    """Samples of a split by index; what a graph leaves unsaid is drawn from index and seed, too.

    `latents` are those of the split's scenes, by their places. `nested_rate` is the data set's, see `SampleOrder`.
    Phrases that are `stored` with their scenes go before what `encode` says of them; `starts` are the places at which
    the files begin that scenes are read from, where it matters.
    """

    def __init__(
        self,
        split: Split,
        latents: Latents | Tensor,
        encode: EncodeGraphs,
        *,
        seed: int = 0,
        masks: bool = False,
        nested_rate: float = 0.0,
        null_rate: float = NULL_RATE,
        stored: StoredPhrases | None = None,
        starts: Sequence[int] = (0,),
    ) -> None:
        self.split, self.latents, self.encode, self.seed, self.with_masks = split, latents, encode, seed, masks
        self.null_rate, self.stored = null_rate, stored
        repeated = split.nested if nested_rate else NO_PLACES
        self.order = SampleOrder(len(split.graphs), seed, repeated=repeated, rate=nested_rate, starts=starts)

    def __call__(self, indices: Sequence[int]) -> SampleBatch:
        """The samples of some indices, which count up without end."""
        rngs = [sample_rng(index, GRAPHS, self.seed) for index in indices]
        places = [self.order[index] for index in indices]
        graphs = [with_gaps(self.split.graphs[place], rng) for place, rng in zip(places, rngs, strict=True)]
        is_null = torch.tensor([rng.random() < self.null_rate for rng in rngs])
        return SampleBatch(self.latents[places], graphs, self.encode_batch(graphs, places), is_null)

    def whole(self, shift: int = 0, null: bool = False) -> SampleBatch:
        """All pictures of the split, each with the whole graph of the one `shift` places on, or with none."""
        places = list(range(len(self.split.graphs)))
        others = places[shift:] + places[:shift]
        graphs = [self.split.graphs[place] for place in others]
        is_null = torch.full((len(places),), null)
        return SampleBatch(self.latents[places], graphs, self.encode_batch(graphs, others), is_null)

    def without_boxes(self) -> GraphBatch:
        """All graphs of the split as people write them, with the boxes as targets alone."""
        bare = [without_boxes(graph) for graph in self.split.graphs]
        return self.encode_batch(bare, range(len(bare)))

    def encode_batch(self, graphs: Sequence[SceneGraph], places: Sequence[int]) -> GraphBatch:
        """Graphs as one batch; `places` says which scenes they are of: those give all known boxes, and masks."""
        boxes = [thing.box or NOWHERE for place in places for thing in self.split.graphs[place].objects]
        targets = Targets(
            torch.tensor(boxes),
            torch.tensor([spatial_place(r.predicate) for g in graphs for r in g.relations], dtype=torch.long),
            self._masks(places),
        )
        features = self.stored(graphs, places) if self.stored else self.encode(graphs)
        return graph_batch(graphs, features, targets)

    def _masks(self, places: Sequence[int]) -> Tensor | None:
        """Masks [O, M, M] of the objects of some scenes; None where they are not wanted or not known of all."""
        if not self.with_masks:
            return None
        found = [mask for mask in (self.split.masks(place, MASK_SIDE) for place in places) if mask is not None]
        return torch.cat(found) if len(found) == len(places) else None


def sample_rng(index: int, purpose: int, seed: int) -> np.random.Generator:
    """The random numbers of one sample: others for each index, purpose and `--seed`."""
    return np.random.default_rng((index, purpose, seed))


def spatial_place(predicate: str) -> int:
    """The place in `RELATIONS` of what a predicate says; `UNKNOWN_RELATION` for one that is not spatial."""
    meaning = spatial_meaning(predicate)
    return UNKNOWN_RELATION if meaning is None else RELATIONS.index(meaning)


def no_features(graphs: Sequence[SceneGraph]) -> list[Features]:
    """`EncodeGraphs` for what reads graphs as captions."""
    return [(torch.zeros(len(graph.objects), 0), torch.zeros(len(graph.relations), 0)) for graph in graphs]
