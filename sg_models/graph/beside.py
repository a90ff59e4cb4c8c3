"""What stands beside a file of scene graphs and is needed to read it: sizes of pictures, names for class numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from .foreign_graph import Size, image_size
from .scene_graph_error import SceneGraphError, described, expect_list, expect_mapping, is_integer, located

MOST_ID = 10**18  # Python refuses to write numbers of more than 4,300 digits as text


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
        for name in filter(None, map(_picture_name, pictures)):
            for key in (name, PurePosixPath(name).name, PurePosixPath(name).stem):
                if key in self.sizes:
                    return self.sizes[key]
        return self.size


def _picture_name(value: Any) -> str | None:
    """A picture's id or path as text; None for what is neither, such as a number too long to be written."""
    if isinstance(value, str):
        return value
    return str(value) if is_integer(value) and abs(value) < MOST_ID else None


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
            value = row.get("image_id", row.get("id", picture))
            name = _picture_name(value)
            if name is None:
                raise SceneGraphError(f"expected a number or a file name, got {described(value)}; write 1", "image_id")
            sizes[name] = size
    return sizes


def _numbered(value: Any) -> enumerate:
    return enumerate(expect_list(value, "", '[{"image_id": 1, "width": 800, "height": 600}]'))
