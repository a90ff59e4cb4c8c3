"""A folder of one's own pictures, each with its graph in a file of the same name (`folder`).

    dog.jpg  dog.txt
    kitchen.png  kitchen.json

A graph is in any format that the pack reads; boxes in pixels are those of the picture beside it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.ExifTags import Base as ExifTag

from sg_models.graph.graph_files import GraphFileError, read_source
from sg_models.graph.reading import Reading
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from train.data.prepared.graph_reading import count_left_out, graph_scene
from train.data.prepared.hashed_split import validation_names
from train.data.prepared.picture_files import picture_size
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource
from train.running.command_line import UsageError

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
GRAPHS = (".json", ".txt")
UPRIGHT = 1  # of EXIF's orientations
NAMED = 100  # of what is left out; the rest is counted
TEST = "val: the folder has no pictures that are kept for a test alone"


@dataclass(frozen=True)
class Pair:
    """A picture of the folder with its graph."""

    picture: str
    size: tuple[int, int]
    graph: SceneGraph


def prepare(options: PrepareOptions) -> Source:
    """The pictures and graphs of a folder; raises `UsageError` where it has none."""
    pictures, graphs = by_stem(options.data, PICTURES), by_stem(options.data, GRAPHS)
    if not pictures.keys() & graphs.keys():
        raise UsageError(
            f"{options.data} has {len(pictures)} pictures and {len(graphs)} graphs, and none of the same name; put "
            "dog.txt or dog.json beside dog.jpg (docs/data.md has an example)"
        )
    facts: dict[str, Any] = {"test": TEST}
    settings = {"content": content(path for files in (pictures, graphs) for path in sum(files.values(), []))}

    def read(counts: Counts) -> dict[str, SplitSource]:
        pairs = {pair.picture: pair for pair in read_pairs(pictures, graphs, options, counts, facts)}
        if len(pairs) < 2:
            raise UsageError(
                f"{len(pairs)} of the pictures in {options.data} can be used, and there have to be one to train on and "
                f"one to validate with; left out were: {counts.to_dict()}"
            )
        held_out = validation_names(pairs)
        return {
            "train": split_source([pair for name, pair in pairs.items() if name not in held_out]),
            "val": split_source([pair for name, pair in pairs.items() if name in held_out]),
        }

    return Source(f"Pictures in {options.data.resolve().name}", "yours", "yours", (), settings, read, facts)


def by_stem(data: Path, endings: tuple[str, ...]) -> dict[str, list[Path]]:
    """The files with these endings, by their names without them."""
    found: dict[str, list[Path]] = {}
    for path in sorted(data.iterdir()):
        if path.suffix.lower() in endings and path.is_file():
            found.setdefault(path.stem, []).append(path)
    return found


def content(files: Iterable[Path]) -> str:
    """SHA-256 of the names and sizes of files, and of the text of graphs: if it is the same, so is what comes out."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        if path.suffix.lower() in GRAPHS:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def read_pairs(
    pictures: dict[str, list[Path]],
    graphs: dict[str, list[Path]],
    options: PrepareOptions,
    counts: Counts,
    facts: dict[str, Any],
) -> Iterator[Pair]:
    """The pictures with graphs, by name; the others are counted, and named in the facts."""
    left_out = LeftOutFiles(counts, facts)
    for stem in sorted(pictures.keys() | graphs.keys()):
        own, others = pictures.get(stem, []), graphs.get(stem, [])
        if not own or not others:
            for path in own or others:
                left_out.note(path, "a picture without a graph" if own else "a graph without a picture")
            continue
        for path in (*own[1:], *others[1:]):
            left_out.note(path, "a second file of the same name")
        size = upright_size(own[0], options.check_pictures)
        if isinstance(size, str):
            left_out.note(own[0], size)
            continue
        try:
            (file,) = read_source(str(others[0]), size)
            graph = file.reading.single()
        except (GraphFileError, SceneGraphError) as error:
            left_out.note(others[0], "a graph that cannot be read", str(error).removeprefix(f"{others[0]}: "))
            continue
        note_rows(others[0], file.reading, left_out)
        yield Pair(own[0].name, size, graph)


class LeftOutFiles:
    """Counts files that are left out, and names the first of them."""

    def __init__(self, counts: Counts, facts: dict[str, Any]) -> None:
        self.counts, self.facts = counts, facts

    def note(self, path: Path, why: str, details: str = "") -> None:
        """Leaves a file out, as a picture or a graph."""
        what = "graph" if path.suffix.lower() in GRAPHS else "picture"
        self.counts.leave_out(what, why)
        self.name(path, why, details)

    def name(self, path: Path, why: str, details: str = "") -> None:
        """Names a file with what there is to say of it."""
        named = self.facts.setdefault(why, [])
        if len(named) < NAMED:
            named.append(f"{path.name}: {details}" if details else path.name)


def upright_size(path: Path, decode: bool) -> tuple[int, int] | str:
    """Width and height of a picture in pixels, or what is wrong with it."""
    size = picture_size(path, decode)
    if isinstance(size, str):
        return size
    with Image.open(path) as picture:
        turned = picture.getexif().get(ExifTag.Orientation, UPRIGHT) != UPRIGHT
    return "turned by its EXIF data: save it upright" if turned else size


def note_rows(path: Path, reading: Reading, left_out: LeftOutFiles) -> None:
    """Counts the rows that the reader left out of a graph, and says where."""
    count_left_out(reading, left_out.counts)
    for warning in reading.warnings:
        left_out.name(path, "parts of graphs", warning)


def split_source(pairs: list[Pair]) -> SplitSource:
    """A split of some pictures."""

    def scenes(counts: Counts) -> Iterator[Scene]:
        return (graph_scene(pair.picture, pair.graph, pair.size, pair.picture) for pair in pairs)

    return SplitSource(scenes, len(pairs))
