"""Drawn pictures on disk, to be measured again or by others, and pictures that others drew.

    <folder>/<split>/<variant>/drawn.json     what they were drawn with
    <folder>/<split>/<variant>/000012-0.png   the first sample of graph 12 of the split

Pictures of another system are a folder of such files alone; `000012.png` is a first sample, too.
"""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sg_models.files.whole_file import whole_file
from train.running.command_line import UsageError

REPORT = "drawn.json"
NAME = re.compile(r"(\d+)(?:-(\d+))?\.(?:png|jpe?g|webp)", re.IGNORECASE)


class PictureFolder:
    """The pictures of one split by one variant."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: dict[tuple[int, int], Path] = {}  # by graph and sample
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if match := NAME.fullmatch(path.name):
                key = int(match[1]), int(match[2] or 0)
                if key in self.files:
                    raise UsageError(f"{path} and {self.files[key].name} are the same picture; leave one of them")
                self.files[key] = path

    def has(self, places: Sequence[int], samples: int) -> bool:
        """Whether all pictures of some graphs are there."""
        return all((place, sample) in self.files for place in places for sample in range(samples))

    def read(self, places: Sequence[int], samples: int) -> list[list[np.ndarray]]:
        """Pictures, uint8 [H, W, 3]: all samples of each graph; raises `UsageError` for the first that is missing."""
        return [[self._picture(place, sample) for sample in range(samples)] for place in places]

    def write(self, place: int, sample: int, picture: np.ndarray) -> None:
        """Writes a picture, uint8 [H, W, 3], without loss."""
        path = self.folder / picture_name(place, sample, ".png")
        with whole_file(path) as file:
            Image.fromarray(picture).save(file, "PNG")
        self.files[place, sample] = path

    def _picture(self, place: int, sample: int) -> np.ndarray:
        path = self.files.get((place, sample))
        if path is None:
            raise UsageError(
                f"there is no picture {picture_name(place, sample, '.png')} in {self.folder}: sample {sample} of graph "
                f"{place} of the split; draw it, or write fewer --graphs or --samples"
            )
        try:
            with Image.open(path) as picture:
                return np.asarray(picture.convert("RGB"))
        except (OSError, SyntaxError) as error:
            raise UsageError(f"the picture {path} cannot be read ({error})") from error


def picture_name(place: int, sample: int, ending: str) -> str:
    """Of the file of a sample of a graph."""
    return f"{place:06d}-{sample}{ending}"


def variant_folder(folder: Path, split: str, variant: str) -> Path:
    """Where a variant's pictures of a split are; an adapter file is called by its own name."""
    return folder / split / Path(variant).stem


def found_variants(folder: Path, split: str) -> dict[str, Path]:
    """The folders of pictures of a split by their variants' names; a folder of pictures alone is one variant.

    Raises `UsageError` where there are none.
    """
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; --pictures names one that --out wrote, or one of pictures")
    inside = sorted(path for path in (folder / split).iterdir() if path.is_dir()) if (folder / split).is_dir() else []
    found = {path.name: path for path in inside}
    if not found and any(NAME.fullmatch(path.name) for path in folder.iterdir()):
        found = {folder.resolve().name: folder}
    if not found:
        raise UsageError(
            f"there are no pictures of the split {split!r} in {folder}; their names are those of the graphs' numbers, "
            f"{picture_name(12, 0, '.png')}, in {folder} or in {variant_folder(folder, split, '<variant>')}"
        )
    return found


def write_report(folder: Path, report: dict[str, Any]) -> None:
    """Says what the pictures of a folder are drawn with; raises `UsageError` where others are there already."""
    before = read_report(folder)
    if before is not None and before != report:
        changed = ", ".join(sorted(key for key in before | report if before.get(key) != report.get(key)))
        raise UsageError(f"{folder} holds pictures that were drawn with another {changed}; name another folder")
    with whole_file(folder / REPORT) as file:
        file.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def read_report(folder: Path) -> dict[str, Any] | None:
    """What `write_report` wrote; None where nobody said."""
    path = folder / REPORT
    return json.loads(path.read_text("utf-8")) if path.is_file() else None
