"""Prepared records on disk: a line of JSON per picture, read one at a time however many there are.

    <folder>/train.jsonl      a record per line
    <folder>/train.index.npz  where each line starts, and which graphs have one object inside another
    <folder>/prepared.json    what it was prepared from, with which settings, and what was left out

A file is whole or absent. Boxes are those of the cropped picture, (x0, y0, x1, y1) in [0, 1].
"""

import json
import mmap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from sg_models.files.whole_file import whole_file
from sg_models.graph.scene_graph import SceneGraph
from train.data.spatial_relations import nests
from train.running.command_line import UsageError

REPORT = "prepared.json"
FORMAT = 1


@dataclass(frozen=True)
class Record:
    """One picture with its graph.

    `picture` is its path below the data folder, None where there are boxes alone; `crop` the part of it that is used,
    (x0, y0, x1, y1) in pixels, None for all of it; `masks` the objects' masks within their own boxes, as `pack_mask`
    writes them, None where there are none.
    """

    id: str
    graph: SceneGraph
    picture: str | None = None
    crop: tuple[int, int, int, int] | None = None
    masks: tuple[str, ...] | None = None

    def to_json(self) -> str:
        """One line."""
        record: dict[str, Any] = {"id": self.id, "graph": self.graph.to_dict()}
        for name in ("picture", "crop", "masks"):
            if getattr(self, name) is not None:
                record[name] = getattr(self, name)
        return json.dumps(record, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str | bytes) -> "Record":
        """Reads what `to_json` wrote."""
        record = json.loads(line)
        crop, masks = record.get("crop"), record.get("masks")
        return cls(
            record["id"],
            SceneGraph.from_dict(record["graph"]),
            record.get("picture"),
            None if crop is None else tuple(crop),
            None if masks is None else tuple(masks),
        )


def write_records(folder: Path, split: str, records: Iterable[Record]) -> int:
    """Writes a split as it comes, one record in memory at a time, and returns how many there were."""
    starts, nested, place = [0], [], 0
    with whole_file(index_path(folder, split)) as index, whole_file(records_path(folder, split)) as lines:
        with lines.open("wb") as stream:
            for record in records:
                place += stream.write(record.to_json().encode() + b"\n")
                starts.append(place)
                nested.append(nests(record.graph))
        with index.open("wb") as stream:
            np.savez(stream, starts=np.array(starts, np.int64), nested=np.array(nested, bool))
    return len(nested)


def records_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.jsonl"


def index_path(folder: Path, split: str) -> Path:
    return folder / f"{split}.index.npz"


class RecordFile(Sequence[Record]):
    """The records of a split, read when they are asked for; the file is mapped, not loaded."""

    def __init__(self, folder: Path, split: str) -> None:
        """Raises `UsageError` where the split was not prepared, or its two files do not belong together."""
        self.path = records_path(folder, split)
        if not self.path.exists() or not index_path(folder, split).exists():
            raise UsageError(f"there is no {self.path}; run train/prepare.py first (--help lists the data sets)")
        with np.load(index_path(folder, split)) as index:
            self.starts, self.nested = index["starts"], index["nested"]
        if self.path.stat().st_size != self.starts[-1]:
            raise UsageError(f"{self.path} is not the file that its index was made for; run train/prepare.py again")

    @cached_property
    def _lines(self) -> mmap.mmap | bytes:
        with self.path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if len(self) else b""

    def __len__(self) -> int:
        return len(self.nested)

    def __getitem__(self, place: int) -> Record:  # type: ignore[override]
        if not -len(self) <= place < len(self):
            raise IndexError(f"there is no record {place} in {self.path}, which has {len(self)}")
        place %= len(self)
        return Record.from_json(self._lines[self.starts[place] : self.starts[place + 1]])


def read_report(folder: Path) -> dict[str, Any]:
    """What `prepare.py` wrote of a folder; raises `UsageError` where there is nothing, or another format."""
    path = folder / REPORT
    if not path.exists():
        raise UsageError(f"there is no {path}; run train/prepare.py first (--help lists the data sets)")
    report = json.loads(path.read_text("utf-8"))
    if report.get("format") != FORMAT:
        raise UsageError(f"{path} is of format {report.get('format')}, this version reads {FORMAT}; prepare it again")
    return report


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Writes `prepared.json`, last of all: a folder without one is not prepared."""
    with whole_file(folder / REPORT) as file:
        file.write_text(json.dumps({"format": FORMAT} | report, indent=1, ensure_ascii=False) + "\n", "utf-8")


def pack_mask(mask: np.ndarray) -> str:
    """A mask, bool [S, S] with S a multiple of 4, as hexadecimal text."""
    return np.packbits(mask.astype(bool).reshape(-1)).tobytes().hex()


def unpack_mask(text: str) -> np.ndarray:
    """The inverse of `pack_mask`: bool [S, S]."""
    bits = np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8))
    side = round(len(bits) ** 0.5)
    return bits.reshape(side, side).astype(bool)


def progress(records: Iterable[Any], name: str, total: int | None = None) -> Iterable[Any]:
    """The same records with a bar."""
    return tqdm(records, desc=name, total=total, mininterval=2, unit=" records")
