"""What `precompute.py` wrote, as a data set: graphs, latents, masks and phrase vectors, read when they are asked for.

A sample is found by offsets within the tars, so that each process of a run reads its own samples alone, and memory does
not grow with their number.
"""

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sg_models.adapters.phrase_features import Features, RememberedPhrases, phrase_features
from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.verdict import Verdict
from train.bases.base_model import BaseModel
from train.data.sample_order import POOL
from train.data.shard_files import (
    ABOUT,
    AGAIN,
    GRAPH,
    LATENTS,
    MASKS,
    PHRASES,
    VECTORS,
    Origin,
    ShardFile,
    nested_path,
    read_origin,
)
from train.running.command_line import UsageError

OPEN_SHARDS = 2 * POOL + 1  # those of two pools, where a batch lies on the border; one more for samples read in order
RECENT_GRAPHS = 1024  # a graph is asked for several times in a step


class ShardSplit:
    """The first `count` samples of a split, or all of them if there are fewer."""

    def __init__(self, folder: Path, name: str, count: int, origin: Origin) -> None:
        self.folder, self.name, self.origin, self.dataset = folder, name, origin, origin.dataset
        self.available = origin.splits[name].count
        self.count = min(count, self.available)
        self.graphs = ShardGraphs(self)
        self._file = lru_cache(OPEN_SHARDS)(lambda number: ShardFile(folder, name, number))

    @property
    def starts(self) -> Sequence[int]:
        """The places at which shards begin."""
        return range(0, self.count, self.origin.per_shard)

    @property
    def nested(self) -> np.ndarray:
        """The places of scenes with one object inside another."""
        places = np.load(nested_path(self.folder, self.name))
        return places[places < self.count]

    def pictures(self, places: Sequence[int], side: int) -> np.ndarray:
        """There are none: raises `UsageError`."""
        raise UsageError(f"{self.folder} has latents and no pictures; leave out --shards to read those of the data set")

    def masks(self, place: int, side: int) -> Tensor | None:
        """The objects' masks: bool [O, side, side]; None where there are none."""
        masks = self._array(place, MASKS)
        assert masks is None or masks.shape[1:] == (side, side), f"masks are stored at {masks.shape[1:]}"
        return None if masks is None else torch.from_numpy(masks)

    def phrase_vectors(self, place: int) -> Mapping[str, Tensor]:
        """Vectors of the phrases that are stored with a scene."""
        vectors = self._array(place, VECTORS)
        if vectors is None:
            return {}
        phrases = json.loads(self.part(place, PHRASES) or b"[]")
        return dict(zip(phrases, torch.from_numpy(vectors.astype(np.float32)), strict=True))

    def fingerprint(self) -> str:
        """That of the pictures that the latents are of."""
        return self.origin.splits[self.name].fingerprint

    def part(self, place: int, name: str) -> bytes | None:
        """The bytes of one part of a sample; None where it has none."""
        number, row = divmod(place, self.origin.per_shard)
        return self._file(number).part(row, name)

    def latents(self, place: int) -> np.ndarray:
        """float16 [4, h, w]."""
        latents = self._array(place, LATENTS)
        assert latents is not None, f"the sample {place} of {self.folder} has no latents"
        return latents

    def _array(self, place: int, name: str) -> np.ndarray | None:
        data = self.part(place, name)
        try:
            return None if data is None else np.load(BytesIO(data))
        except ValueError as error:
            raise self.damaged(place, name) from error

    def damaged(self, place: int, name: str) -> UsageError:
        """What is said of a part that is not what it should be."""
        path = self._file(place // self.origin.per_shard).path
        return UsageError(f"{place:08d}.{name} in the shard {path} is damaged; {AGAIN}")


class ShardGraphs(Sequence[SceneGraph]):
    """The graphs of a split, read when they are asked for."""

    def __init__(self, split: ShardSplit) -> None:
        self.split = split
        self._graph = lru_cache(RECENT_GRAPHS)(self._read)

    def __len__(self) -> int:
        return self.split.count

    def __getitem__(self, place: int) -> SceneGraph:  # type: ignore[override]
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(len(self)))]  # type: ignore[return-value]
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no graph {place} among {len(self)}")
        return self._graph(place % len(self))

    def _read(self, place: int) -> SceneGraph:
        data = self.split.part(place, GRAPH) or b""
        try:
            return SceneGraph.from_dict(json.loads(data))
        except ValueError as error:  # SceneGraphError is one
            raise self.split.damaged(place, GRAPH) from error


class ShardLatents:
    """The latents of a split, for one base."""

    def __init__(self, split: ShardSplit, base: BaseModel) -> None:
        """Raises `UsageError` for a base that the latents are not of."""
        made = split.origin
        if (made.base, made.side) != (base.name, base.side):
            wanted = f"{base.name} draws {base.side} pixels"
            raise UsageError(
                f"{split.folder} holds latents for {made.base} at {made.side} pixels, and {wanted}; write --base "
                f"{made.base}, or shards for {base.name} with train/precompute.py"
            )
        if made.autoencoder != base.vae_fingerprint():
            raise UsageError(
                f"{split.folder} holds latents of another autoencoder than that of the base {base.name} that is "
                "loaded; write shards anew with train/precompute.py"
            )
        self.split = split

    def __len__(self) -> int:
        return self.split.count

    def __getitem__(self, places: Sequence[int]) -> Tensor:
        """float32 [B, 4, h, w] of some scenes."""
        return torch.from_numpy(np.stack([self.split.latents(place) for place in places]).astype(np.float32))


class StoredPhrases:
    """Features of graphs whose phrases' vectors are stored with their scenes; what is not is encoded as it comes."""

    def __init__(self, split: ShardSplit, live: RememberedPhrases) -> None:
        """Raises `UsageError` for another phrase encoder than that of the shards."""
        made, encoder = split.origin, live.encoder
        if made.phrases != encoder.name:
            raise UsageError(
                f"{split.folder} holds vectors of {made.phrases} phrases, not of {encoder.name}; write --phrases "
                f"{made.phrases}, or shards with train/precompute.py --phrases {encoder.name}"
            )
        if made.phrase_encoder != encoder.fingerprint():
            raise UsageError(
                f"{split.folder} holds vectors of another {encoder.name} than the one that is loaded; name the same "
                "one (--base, --bert), or write shards anew with train/precompute.py"
            )
        self.split, self._live = split, lru_cache(4096)(lambda phrase: encoder.encode([phrase])[0].cpu())

    def __call__(self, graphs: Sequence[SceneGraph], places: Sequence[int]) -> list[Features]:
        """Of graphs that say whatever part of the scenes at `places`."""
        return [self._features(graph, place) for graph, place in zip(graphs, places, strict=True)]

    def _features(self, graph: SceneGraph, place: int) -> Features:
        stored = self.split.phrase_vectors(place)

        def encode(phrases: list[str]) -> Tensor:
            return torch.stack([stored[p] if p in stored else self._live(p) for p in phrases])

        return phrase_features([graph], encode)[0]


class Shards:
    """A folder of shards, in the place of the data set that they were made from."""

    test_splits: tuple[str, ...] = ()
    endless: bool = False

    def __init__(self, folder: Path, dataset: str) -> None:
        """Raises `UsageError` where there are none, or those of another data set."""
        self.folder, self.origin = folder, read_origin(folder / ABOUT)
        self.name, self.title = self.origin.dataset, self.origin.title
        self.large_area, self.nested_rate = self.origin.large_area, self.origin.nested_rate
        if self.name != dataset:
            raise UsageError(f"{folder} holds {self.name}, not {dataset}; write --dataset {self.name}")

    def split(self, name: str, count: int) -> ShardSplit:
        """The first `count` samples of a split."""
        if name not in self.origin.splits:
            raise UsageError(f"{self.folder} has no split {name!r}, it has {', '.join(self.origin.splits)}")
        return ShardSplit(self.folder, name, count, self.origin)

    def judge(self, picture: np.ndarray, graph: SceneGraph) -> Verdict | None:
        """Shards are for training: there is nothing to hold pictures against."""
        return None
