"""How fast training samples are read from shards, and that memory does not grow with their number.

    PYTHONPATH=. python benchmarks/shards.py [<records> ...]      # 10000 100000 1000000 if left out

Records are made up and small: graphs of five objects, latents of 4 × 8 × 8, phrase vectors of 16. So many shards of a
thousand are copies of ten. A process of its own for each number of records reads all of them once in the order of an
epoch, every part's bytes and the latents as tensors, and then makes `SAMPLES` training samples as `GraphSamples` does,
with graphs, gaps and phrase vectors. Rates are per second of the processor's time, so that they say the same beside
other work; memory is the process's peak over what it took before the first sample.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from train.data.dataset import TRAIN
from train.data.graph_samples import GraphSamples
from train.data.shard_files import (
    ABOUT,
    GRAPH,
    LATENTS,
    PHRASES,
    VECTORS,
    Origin,
    SplitOrigin,
    index_path,
    tar_path,
    write_origin,
    write_shard,
)
from train.data.shard_writing import partial_phrases
from train.data.shards import ShardLatents, Shards, StoredPhrases

PER_SHARD, DISTINCT, BATCH = 1000, 10, 64
DIM, SAMPLES = 16, 5000
NAMES, ATTRIBUTES = ("dog", "cat", "tree", "man", "car", "house"), ("red", "small", "old", "wet", "wooden")
PREDICATES = ("on", "left of", "behind", "holding")


class NoEncoder:
    """Stands for the phrase encoder; all that is read here is stored."""

    name, dim = "clip", DIM

    def encode(self, phrases: list[str]) -> Tensor:
        raise AssertionError(f"{phrases} are not stored")

    def fingerprint(self) -> str:
        return "none"


BASE = SimpleNamespace(name="made-up", side=64, vae_fingerprint=lambda: "none")


def graph(rng: np.random.Generator) -> SceneGraph:
    objects = []
    for _ in range(5):
        x, y, w, h = (*rng.uniform(0, 0.5, 2), *rng.uniform(0.1, 0.5, 2))
        attributes = tuple(rng.choice(ATTRIBUTES, rng.integers(0, 3), replace=False).tolist())
        objects.append(SceneObject(str(rng.choice(NAMES)), attributes, (x, y, x + w, y + h)))
    relations = [Relation(i, str(rng.choice(PREDICATES)), i + 1) for i in range(4)]
    return SceneGraph(tuple(objects), tuple(relations))


def sample(rng: np.random.Generator) -> dict:
    made = graph(rng)
    phrases = partial_phrases(made)
    return {
        GRAPH: made.to_dict(),
        LATENTS: rng.standard_normal((4, 8, 8)).astype(np.float16),
        PHRASES: phrases,
        VECTORS: rng.standard_normal((len(phrases), DIM)).astype(np.float16),
    }


def write(folder: Path, records: int) -> None:
    """Shards of so many records; those of fewer are the first of them."""
    rng = np.random.default_rng(0)
    for number in range(-(-records // PER_SHARD)):
        if number < DISTINCT:
            write_shard(folder, TRAIN, number, number * PER_SHARD, (sample(rng) for _ in range(PER_SHARD)))
        else:
            for path in (tar_path, index_path):
                shutil.copyfile(path(folder, TRAIN, number % DISTINCT), path(folder, TRAIN, number))


def describe(folder: Path, records: int) -> None:
    splits = {TRAIN: SplitOrigin(records, "none")}
    about = ("made-up", "made up", 0.1, 0.0, BASE.name, BASE.side, "none", NoEncoder.name, "none", PER_SHARD)
    write_origin(folder / ABOUT, Origin(*about, splits=splits))


def peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def read(folder: Path) -> dict[str, float]:
    """What reading an epoch takes."""
    split = Shards(folder, "made-up").split(TRAIN, sys.maxsize)
    encode = RememberedPhrases(NoEncoder())  # type: ignore[arg-type]
    stored = StoredPhrases(split, encode)
    latents = ShardLatents(split, BASE)  # type: ignore[arg-type]
    before = peak()
    samples = GraphSamples(split, latents, encode, stored=stored, starts=split.starts)
    started = time.process_time()
    for first in range(0, split.count, BATCH):
        places = [samples.order[index] for index in range(first, min(first + BATCH, split.count))]
        latents[places]
        for place in places:
            for part in (GRAPH, PHRASES, VECTORS):
                split.part(place, part)
    read = time.process_time()
    for first in range(0, SAMPLES, BATCH):
        samples(range(first, first + BATCH))
    made = time.process_time()
    return {
        "records": split.count,
        "read per second": round(split.count / (read - started)),
        "samples per second": round(SAMPLES / (made - read)),
        "MB": (peak() - before) / 1e6,
    }


def main(counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder, max(counts))
        for count in sorted(counts):
            describe(folder, count)
            subprocess.run([sys.executable, __file__, "--read", folder], check=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1:2] == ["--read"]:
        print(json.dumps(read(Path(sys.argv[2]))), flush=True)
    else:
        main([int(word) for word in sys.argv[1:]] or [10_000, 100_000, 1_000_000])
