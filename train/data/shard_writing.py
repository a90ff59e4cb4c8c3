"""Writing shards: latents, graphs, masks and phrase vectors of a split's scenes."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph, SceneObject
from sg_models.layers.layout import MASK_SIDE
from train.bases.base_model import BaseModel
from train.data.dataset import Split
from train.data.latents import CHUNK, encode_places
from train.data.shard_files import GRAPH, LATENTS, MASKS, PHRASES, VECTORS, is_whole, nested_path, write_shard

NO_PHRASES = "none"  # the name of no phrase encoder
MOST_SUBSETS_OF = 3  # attributes: all their subsets are stored, eight at most
PHRASES_AT_ONCE = 256


class ShardWriter:
    """Writes the shards of one split under a name; one that is there already stays as it is."""

    def __init__(
        self, folder: Path, name: str, base: BaseModel, split: Split, encode: RememberedPhrases | None, per_shard: int
    ) -> None:
        self.folder, self.name, self.base, self.split = folder, name, base, split
        self.encode, self.per_shard = encode, per_shard

    def write(self, numbers: Iterable[int]) -> None:
        """Writes some of the shards."""
        missing = [number for number in numbers if not is_whole(self.folder, self.name, number)]
        for number in tqdm(missing, desc=f"{self.name} shards", mininterval=2):
            first = number * self.per_shard
            places = range(first, min(first + self.per_shard, len(self.split.graphs)))
            # some autoencoders draw: a shard is the same whichever process writes it, and when
            torch.manual_seed(number)
            write_shard(self.folder, self.name, number, first, self._samples(places))

    def write_nested(self) -> None:
        """Writes which scenes have one object inside another."""
        with whole_file(nested_path(self.folder, self.name)) as file, file.open("wb") as stream:
            np.save(stream, np.asarray(self.split.nested, np.int64))

    def _samples(self, places: range) -> Iterator[dict[str, Any]]:
        vectors = self._phrase_vectors([self.split.graphs[place] for place in places])
        for start in range(places.start, places.stop, CHUNK):
            part = range(start, min(start + CHUNK, places.stop))
            for place, latents in zip(part, encode_places(self.base, self.split, part), strict=True):
                yield self._sample(place, latents, vectors)

    def _sample(self, place: int, latents: Tensor, vectors: dict[str, Tensor]) -> dict[str, Any]:
        graph = self.split.graphs[place]
        sample: dict[str, Any] = {GRAPH: graph.to_dict(), LATENTS: latents.numpy()}
        masks = self.split.masks(place, MASK_SIDE)
        if masks is not None:
            sample[MASKS] = masks.numpy()
        if self.encode is not None:
            phrases = partial_phrases(graph)
            sample[PHRASES] = phrases
            sample[VECTORS] = torch.stack([vectors[phrase] for phrase in phrases]).numpy()
        return sample

    def _phrase_vectors(self, graphs: Iterable[SceneGraph]) -> dict[str, Tensor]:
        """Vectors, float16, of all that is to be stored of some graphs."""
        if self.encode is None:
            return {}
        phrases = list(dict.fromkeys(phrase for graph in graphs for phrase in partial_phrases(graph)))
        vectors: dict[str, Tensor] = {}
        for start in range(0, len(phrases), PHRASES_AT_ONCE):
            some = phrases[start : start + PHRASES_AT_ONCE]
            vectors |= zip(some, self.encode.encoder.encode(some).half().cpu(), strict=True)
        return vectors


def partial_phrases(graph: SceneGraph) -> list[str]:
    """Every phrase that `with_gaps` can make of a graph, which leaves out attributes; of many attributes, all alone."""
    found: dict[str, None] = {}
    for thing in graph.objects:
        found.update(dict.fromkeys(_partial(thing)))
    return list(found | dict.fromkeys(relation.predicate for relation in graph.relations))


def _partial(thing: SceneObject) -> Iterator[str]:
    yield thing.phrase
    if len(thing.attributes) <= MOST_SUBSETS_OF:
        for count in range(len(thing.attributes)):
            for kept in itertools.combinations(thing.attributes, count):
                yield SceneObject(thing.name, kept).phrase
