"""What stands beside a file of scene graphs and is needed to read it: sizes of pictures, names for class numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .foreign_graph import Size, image_size
from .scene_graph_error import SceneGraphError, expect_list, expect_mapping, located


@dataclass(frozen=True)
class Beside:
    """`size` is that of every picture without one of its own; `sizes` go by image id or file name, as text; the names
    are those of class numbers, from 0."""

    size: Size | None = None
    sizes: Mapping[str, Size] = field(default_factory=dict)
    object_names: Sequence[str] = ()
    predicate_names: Sequence[str] = ()

    def size_of(self, *pictures: Any) -> Size | None:
        """The size of the picture that has one of these ids or paths; `size` if none of them is known."""
        for picture in pictures:
            for key in (str(picture), PurePosixPath(str(picture)).name, PurePosixPath(str(picture)).stem):
                if picture is not None and key in self.sizes:
                    return self.sizes[key]
        return self.size


def read_sizes(value: Any) -> dict[str, Size]:
    """The sizes in Visual Genome's image_data.json (a list with `image_id`, `width`, `height`) or in VRD's
    image_metadata.json (an object by file name). Raises `SceneGraphError` for anything else."""
    rows = value.items() if isinstance(value, Mapping) else _numbered(value)
    sizes: dict[str, Size] = {}
    for picture, row in rows:
        with located(f"[{picture}]"):
            size = image_size(expect_mapping(row, "", '{"image_id": 1, "width": 800, "height": 600}'))
            if size is None:
                raise SceneGraphError('the size is missing; write "width" and "height"')
            sizes[str(row.get("image_id", row.get("id", picture)))] = size
    return sizes


def _numbered(value: Any) -> enumerate:
    return enumerate(expect_list(value, "", '[{"image_id": 1, "width": 800, "height": 600}]'))
