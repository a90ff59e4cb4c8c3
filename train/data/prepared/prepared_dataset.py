"""Whatever `prepare.py` has prepared, as a data set: graphs and pictures are read when they are asked for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from sg_models.graph.scene_graph import SceneGraph
from sg_models.verification.verdict import Verdict
from train.data.dataset import TRAIN
from train.data.prepared.records import Record, RecordFile, read_report, unpack_mask
from train.running.command_line import UsageError

FINGERPRINTED = 16  # records and pictures: what was made of others is made anew


class Graphs(Sequence[SceneGraph]):
    """The graphs of the first `count` records, read when they are asked for."""

    def __init__(self, records: RecordFile, count: int) -> None:
        self.records, self.count = records, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> SceneGraph:  # type: ignore[override]
        if isinstance(place, slice):
            return [self[i] for i in range(*place.indices(self.count))]  # type: ignore[return-value]
        if not -self.count <= place < self.count:
            raise IndexError(f"there is no graph {place} among {self.count}")
        return self.records[place % self.count].graph


class PreparedSplit:
    """The first `count` records of a split, or all of them if there are fewer."""

    def __init__(self, dataset: str, data: Path, folder: Path, name: str, count: int) -> None:
        self.dataset, self.name, self.data = dataset, name, data
        self.records = RecordFile(folder, name)
        self.graphs = Graphs(self.records, min(count, len(self.records)))
        if not len(self.graphs):
            raise UsageError(f"the split {name!r} of {dataset} in {folder} is empty; {folder}/prepared.json says why")

    @property
    def nested(self) -> np.ndarray:
        """The places of records with one object inside another."""
        return np.flatnonzero(self.records.nested[: len(self.graphs)])

    def pictures(self, places: Sequence[int], side: int) -> np.ndarray:
        """uint8 [B, side, side, 3]; raises `UsageError` for a picture that is missing or cannot be read."""
        return np.stack([self._picture(self.records[place], side) for place in places])

    def masks(self, place: int, side: int) -> Tensor | None:
        """The objects' masks, each within its own box: bool [O, side, side]; None where the records have none."""
        masks = self.records[place].masks
        if masks is None:
            return None
        pictures = (Image.fromarray(unpack_mask(mask)).resize((side, side), Image.Resampling.BOX) for mask in masks)
        return torch.stack([torch.from_numpy(np.asarray(picture) > 0) for picture in pictures])

    def fingerprint(self) -> str:
        """SHA-256 of the first records and their pictures' sizes in bytes, and of where every record begins.

        So a record that is missing now, or came in between, changes it: latents are of pictures by their places.
        """
        digest = hashlib.sha256(self.records.starts.tobytes())
        for place in range(min(FINGERPRINTED, len(self.records))):
            record = self.records[place]
            digest.update(record.to_json().encode())
            if record.picture is not None:
                digest.update(str((self.data / record.picture).stat().st_size).encode())
        return digest.hexdigest()

    def _picture(self, record: Record, side: int) -> np.ndarray:
        if record.picture is None:
            raise UsageError(f"{self.dataset} has boxes and no pictures: it trains layouts alone, train_layout.py")
        path = self.data / record.picture
        try:
            with Image.open(path) as picture:
                box = record.crop or (0, 0, *picture.size)
                resized = picture.convert("RGB").resize((side, side), Image.Resampling.LANCZOS, box=box)
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise UsageError(f"the picture {path} cannot be read ({error}); run train/prepare.py again") from error
        return np.asarray(resized)


class Prepared:
    """A data set that `prepare.py` wrote to `<data>/prepared/<name>`."""

    endless = False
    nested_rate = 0.0  # a photograph's nested objects are no rarer than others

    def __init__(self, name: str, data: Path) -> None:
        self.name, self.data, self.folder = name, data, prepared_folder(data, name)
        report = read_report(self.folder)
        self.title: str = report["title"]
        self.large_area: float = report["large_area"]
        self.test_splits = tuple(split for split in report["splits"] if split != TRAIN)[-1:]

    def split(self, name: str, count: int) -> PreparedSplit:
        """The first `count` records of a split."""
        return PreparedSplit(self.name, self.data, self.folder, name, count)

    def judge(self, picture: np.ndarray, graph: SceneGraph) -> Verdict | None:
        """Nothing here can tell what is in a photograph."""
        return None


def prepared_folder(data: Path, name: str) -> Path:
    """Where a data set of that name is prepared to."""
    return data / "prepared" / name
