"""Scene graphs from files, folders and standard input, with what stands beside them; needs no library.

Beside a file are looked for: sizes of pictures (Visual Genome's `image_data.json`, VRD's `*image_metadata.json`) and
the names of class numbers (`objects.json`, `predicates.json`, as VRD and VG-150 have them).
"""

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .beside import Beside, read_sizes
from .foreign_graph import Size
from .reading import Reading, read_scene_graphs
from .scene_graph import MAX_TEXT_CHARS, SceneGraphError
from .text_forms import load_json

STANDARD_INPUT = "-"
ENDINGS = (".json", ".jsonl", ".txt")
KNOWN_ENDINGS = ".json, .jsonl or .txt"
SIZES = ("image_data*.json", "*image_metadata.json")
OBJECT_NAMES, PREDICATE_NAMES = "objects.json", "predicates.json"
MAX_NAMES_BYTES = 1_000_000  # of a list of names; Visual Genome's own objects.json has hundreds of millions
MAX_FILE_BYTES = 4 * MAX_TEXT_CHARS  # of UTF-8 that could still be within the limit


class GraphFileError(ValueError):
    """A place where no scene graph can be read from: a file that is not there, an ending that says something else."""


@dataclass(frozen=True)
class GraphFile:
    """What one file holds: `name` for pictures of it, `place` for messages."""

    name: str
    place: str
    reading: Reading

    def warnings(self) -> tuple[str, ...]:
        """What was left out and what contradicts itself, with the place in front."""
        return tuple(f"{self.place}: {text}" for text in (*self.reading.warnings, *self.reading.contradictions()))


def read_source(source: str, size: Size | None = None) -> list[GraphFile]:
    """The graphs of a file, of every graph file in a folder (by name), or, for "-", of standard input.

    Raises `GraphFileError`, and `SceneGraphError` with the file's place in front.
    """
    if source == STANDARD_INPUT:
        return [_read("graph", "standard input", sys.stdin.read(), Beside(size))]
    path = Path(source)
    files = _graph_files(path) if path.is_dir() else [path]
    if not files:
        raise GraphFileError(f"there are no {KNOWN_ENDINGS} files in {path}")
    for file in files:
        if not file.is_file():
            raise GraphFileError(f"there is no file or folder {file}")
        if file.suffix not in ENDINGS:
            raise GraphFileError(f"{file} does not end in {KNOWN_ENDINGS}")
    return [_read(file.stem, str(file), _graph_text(file), _beside(file, size)) for file in files]


def _graph_files(folder: Path) -> list[Path]:
    companions = {*_companions(folder)}
    return sorted(file for file in folder.iterdir() if file.suffix in ENDINGS and file not in companions)


def _companions(folder: Path) -> list[Path]:
    """Files of a folder that are no graphs themselves; `objects.json` is one only where it is a list of names."""
    found = [file for pattern in SIZES for file in sorted(folder.glob(pattern))]
    return found + [file for file in (folder / OBJECT_NAMES, folder / PREDICATE_NAMES) if _names(file)]


def _read(name: str, place: str, text: str, beside: Beside) -> GraphFile:
    try:
        return GraphFile(name, place, read_scene_graphs(text, beside=beside))
    except SceneGraphError as error:
        raise SceneGraphError(f"{place}: {error}") from error


def _graph_text(file: Path) -> str:
    size = file.stat().st_size
    if size > MAX_FILE_BYTES:
        raise SceneGraphError(f"{file}: the file has {size} bytes; write at most {MAX_TEXT_CHARS} characters")
    return _text(file)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SceneGraphError(f"{file}: this is not UTF-8 text (byte {error.start}); save it as UTF-8") from error


def _beside(file: Path, size: Size | None) -> Beside:
    """What stands beside a JSON file; the predicates of `annotations_a.json` are preferably `predicates_a.json`."""
    if file.suffix == ".txt":
        return Beside(size)
    sizes: dict[str, Size] = {}
    for pattern in SIZES:
        for companion in sorted(file.parent.glob(pattern)):
            if companion != file:
                sizes.update(_sizes(companion, companion.stat().st_mtime_ns))
    own = file.with_name(f"predicates_{file.stem.rpartition('_')[2]}.json")
    names = _names(file.with_name(OBJECT_NAMES)), _names(own) or _names(file.with_name(PREDICATE_NAMES))
    return Beside(size, sizes, *names)


@lru_cache(maxsize=8)
def _sizes(file: Path, changed: int) -> dict[str, Size]:
    """Read once for all the graphs of a folder, until it is `changed`."""
    try:
        return read_sizes(load_json(_text(file)))
    except SceneGraphError as error:
        raise SceneGraphError(f"{file}: {error}") from error


def _names(file: Path) -> list[str]:
    """The list of names in `file`; [] where it is not there or holds something else."""
    if not file.is_file() or file.stat().st_size > MAX_NAMES_BYTES:
        return []
    try:
        value: Any = load_json(_text(file))
    except SceneGraphError:
        return []
    is_names = isinstance(value, list) and all(isinstance(name, str) for name in value)
    return value if is_names else []
