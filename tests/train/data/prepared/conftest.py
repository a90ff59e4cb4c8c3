"""A Visual Genome in miniature, in the original's files, built row by row."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

Row = dict[str, Any]


class VisualGenomeFolder:
    """Images with rows of objects, attributes and relations; `write` makes the files. Pictures are 300 × 200 pixels,
    red on the left, green in the middle, blue on the right."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.splits: dict[str, list[int]] = {"train": [], "val": [], "test": []}
        self.images: list[Row] = []
        self.rows: dict[str, list[Row]] = {"objects": [], "attributes": [], "relationships": []}
        self.aliases = {"object_alias.txt": "man,guy,men\n", "relationship_alias.txt": "on,on top of,upon\n"}

    def add(
        self, image_id: int, split: str = "train", size: tuple[int, int] = (300, 200), picture: bool = True
    ) -> None:
        """An image without rows."""
        self.splits[split].append(image_id)
        url = f"https://cs.stanford.edu/people/rak248/VG_100K/{image_id}.jpg"
        self.images.append({"image_id": image_id, "width": size[0], "height": size[1], "url": url})
        for kind, records in self.rows.items():
            records.append({"image_id": image_id, kind: []})
        if picture:
            write_picture(self.folder / "VG_100K" / f"{image_id}.jpg", size)

    def add_usual(self, image_id: int, split: str = "train", predicate: str = "on", **options: Any) -> None:
        """A man on a horse beside a tree, all in the middle; the horse is brown."""
        self.add(image_id, split, **options)
        first = image_id * 100
        for i, name in enumerate(("man", "horse", "tree")):
            self.thing(first + i, name, (100 + 10 * i, 20, 60, 80))
        self.attribute(first + 1, "Brown")
        self.relation(first, predicate, first + 1)

    def thing(self, object_id: Any, names: str | list[str], box: tuple[Any, Any, Any, Any], **other: Any) -> None:
        """An object of the last image; its box is x, y, w, h."""
        names = [names] if isinstance(names, str) else names
        row = {"object_id": object_id, "names": names, "synsets": [], **dict(zip("xywh", box, strict=True))}
        self.rows["objects"][-1]["objects"].append(row | other)

    def attribute(self, object_id: int, *attributes: str) -> None:
        """Attributes of an object of the last image."""
        row = {"object_id": object_id, "names": ["?"], "attributes": list(attributes)}
        self.rows["attributes"][-1]["attributes"].append(row)

    def relation(self, subject: Any, predicate: Any, object_: Any) -> None:
        """A relation of the last image, between ids."""
        ends = {"subject": {"object_id": subject, "name": "?"}, "object": {"object_id": object_, "name": "?"}}
        row = {"predicate": predicate, "relationship_id": 1, "synsets": [], **ends}
        self.rows["relationships"][-1]["relationships"].append(row)

    def write(self) -> Path:
        """Writes all files and returns the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind, records in self.rows.items():
            (self.folder / f"{kind}.json").write_text(json.dumps(records))
        (self.folder / "image_data.json").write_text(json.dumps(self.images))
        (self.folder / "vg_splits.json").write_text(json.dumps(self.splits))
        for name, text in self.aliases.items():
            (self.folder / name).write_text(text)
        return self.folder


def write_picture(path: Path, size: tuple[int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGB", size, (255, 0, 0))
    third = size[0] // 3
    picture.paste((0, 255, 0), (third, 0, 2 * third, size[1]))
    picture.paste((0, 0, 255), (2 * third, 0, size[0], size[1]))
    picture.save(path, quality=95, subsampling=0)


@pytest.fixture
def visual_genome(tmp_path) -> VisualGenomeFolder:
    return VisualGenomeFolder(tmp_path / "vg")


@pytest.fixture
def make_picture() -> Callable[[Path, tuple[int, int]], None]:
    return write_picture
