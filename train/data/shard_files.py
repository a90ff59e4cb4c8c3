"""Shards on disk: ordinary WebDataset tars, and beside each an index of where the parts of its samples lie.

    <folder>/train-000000.tar        a sample is 00000000.graph.json, 00000000.latents.npy and so on, see `PARTS`
    <folder>/train-000000.index.npy  int64 [samples, parts, 2]: where a part begins in the tar, and its bytes; 0 of none
    <folder>/train.nested.npy        int64: the places of scenes with one object inside another
    <folder>/shards.json             what all of it was made from; written last

A shard is whole or absent: the tar is written before its index, and one without an index is not there.
"""

import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from webdataset import TarWriter

from sg_models.files.whole_file import whole_file
from train.running.command_line import UsageError

GRAPH, LATENTS, MASKS, PHRASES, VECTORS = "graph.json", "latents.npy", "masks.npy", "phrases.json", "phrases.npy"
PARTS = (GRAPH, LATENTS, MASKS, PHRASES, VECTORS)
ABOUT, UNFINISHED = "shards.json", "unfinished.json"
FORMAT = 1
AGAIN = "delete it and run train/precompute.py again, which writes what is missing"


@dataclass(frozen=True)
class SplitOrigin:
    """How many samples a split has, and the fingerprint of its pictures."""

    count: int
    fingerprint: str


@dataclass(frozen=True)
class Origin:
    """All that shards were made from, which decides what they can be used for."""

    dataset: str
    title: str
    large_area: float
    nested_rate: float
    base: str
    side: int
    autoencoder: str
    """its fingerprint"""
    phrases: str
    """the phrase encoder's name, `NO_PHRASES` where no vectors are stored"""
    phrase_encoder: str
    """its fingerprint"""
    per_shard: int
    splits: dict[str, SplitOrigin] = field(default_factory=dict)
    format: int = FORMAT

    def shards(self, split: str) -> int:
        """How many a split has."""
        return -(-self.splits[split].count // self.per_shard)


def write_origin(path: Path, origin: Origin) -> None:
    with whole_file(path) as file:
        file.write_text(json.dumps(asdict(origin), indent=1, ensure_ascii=False) + "\n", "utf-8")


def read_origin(path: Path) -> Origin:
    """Raises `UsageError` where there is no such file, or one of another format."""
    if not path.exists():
        raise UsageError(f"there is no {path}; shards are whole when train/precompute.py has ended without an error")
    about = json.loads(path.read_text("utf-8"))
    if about.get("format") != FORMAT:
        raise UsageError(f"{path} is of format {about.get('format')}, this version reads {FORMAT}; write shards anew")
    origin = Origin(**about)
    return replace(origin, splits={name: SplitOrigin(**split) for name, split in about["splits"].items()})


def tar_path(folder: Path, split: str, number: int) -> Path:
    return folder / f"{split}-{number:06d}.tar"


def index_path(folder: Path, split: str, number: int) -> Path:
    return folder / f"{split}-{number:06d}.index.npy"


def nested_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.nested.npy"


def is_whole(folder: Path, split: str, number: int) -> bool:
    return tar_path(folder, split, number).exists() and index_path(folder, split, number).exists()


def write_shard(folder: Path, split: str, number: int, first: int, samples: Iterable[Mapping[str, Any]]) -> None:
    """Writes the samples, dicts by `PARTS`, that begin at the place `first`."""
    with whole_file(index_path(folder, split, number)) as index:
        with whole_file(tar_path(folder, split, number)) as tar:
            # without the time, so that a shard has the same bytes whenever it is written
            with tar.open("wb") as stream, TarWriter(stream, mtime=0) as writer:
                for place, sample in enumerate(samples, first):
                    writer.write({"__key__": f"{place:08d}"} | dict(sample))
            found = index_of(tar, first)
        with index.open("wb") as stream:
            np.save(stream, found)


def index_of(tar: Path, first: int) -> np.ndarray:
    """Where the parts of a tar's samples lie: int64 [samples, parts, 2]."""
    rows: list[np.ndarray] = []
    with tarfile.open(tar) as members:
        for member in members:
            key, part = member.name.split(".", 1)
            if int(key) - first == len(rows):
                rows.append(np.zeros((len(PARTS), 2), np.int64))
            rows[-1][PARTS.index(part)] = member.offset_data, member.size
    return np.stack(rows)


class ShardFile:
    """One shard that is read at random; nothing of it stays in memory but its index."""

    def __init__(self, folder: Path, split: str, number: int) -> None:
        """Raises `UsageError` where it is missing or cannot be read."""
        self.path = tar_path(folder, split, number)
        try:
            self.index = np.load(index_path(folder, split, number))
            self.file = self.path.open("rb", buffering=0)
        except (OSError, ValueError, EOFError) as error:
            raise UsageError(f"the shard {self.path} cannot be opened ({error}); {AGAIN}") from error

    def part(self, row: int, name: str) -> bytes | None:
        """A part of a sample; None where the sample has none. Raises `UsageError` where it cannot be read."""
        start, length = self.index[row, PARTS.index(name)].tolist()
        if not start:
            return None
        try:
            self.file.seek(start)
            data = self.file.read(length)
        except OSError as error:
            raise UsageError(f"the shard {self.path} cannot be read ({error}); {AGAIN}") from error
        if len(data) != length:
            raise UsageError(f"the shard {self.path} is cut short; {AGAIN}")
        return data
