"""LAION-SG: pictures with graphs that a language model wrote, with attributes and without boxes (`laion-sg`).

    one file each with train, val and test in its name, such as train.json
    images/  or train/, val/, test/

A file is a list of records with `items`, `relations`, `name` and `img_id` (Li et al. 2024). A trained layout can place
their objects (`--boxes`); otherwise they have no boxes.
"""

from pathlib import Path
from typing import Any

import msgspec

from sg_models.graph.reading import read_scene_graphs
from sg_models.graph.scene_graph import SceneGraphError
from train.data.prepared.graph_reading import count_left_out, graph_scene
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource
from train.data.prepared.visual_genome_files import raw_records
from train.running.command_line import UsageError

SPLITS = ("train", "val", "test")
LOOKED_AT = 100  # records, to find the folder that their pictures are in
LICENCE = "annotations as the authors say (repository MIT); pictures belong to their owners on the web"
ATTRIBUTION = (
    "LAION-SG: Li et al., LAION-SG: An Enhanced Large-Scale Dataset for Training Complex Image-Text Models with "
    "Structural Annotations, 2024"
)


def prepare(options: PrepareOptions) -> Source:
    """LAION-SG's files in a folder; raises `UsageError` for a split that no file is of, or several."""
    files = {split: annotation_file(options.data, split) for split in SPLITS}

    def read(counts: Counts) -> dict[str, SplitSource]:
        return {split: split_source(options.data, split, path) for split, path in files.items()}

    return Source("LAION-SG", LICENCE, ATTRIBUTION, tuple(files.values()), {}, read)


def annotation_file(data: Path, split: str) -> Path:
    """The one JSON file with the split in its name."""
    found = sorted(path for path in data.glob("*.json") if split in path.stem.lower())
    if len(found) != 1:
        named = ", ".join(path.name for path in found) or "none"
        raise UsageError(
            f"{data} should have one .json file with {split!r} in its name, and has {named}; put LAION-SG's annotation "
            "files there (docs/data.md)"
        )
    return found[0]


def split_source(data: Path, split: str, path: Path) -> SplitSource:
    """The records of one file, with their pictures."""
    raws = raw_records(path)
    folder = picture_folder(data, split, raws)
    return SplitSource(lambda counts: filter(None, (scene(raw, folder, counts) for raw in raws)), len(raws))


def picture_folder(data: Path, split: str, raws: list[msgspec.Raw]) -> str:
    """Where the pictures of a split are, below the data folder; images/ if none of the first is found anywhere."""
    names = [name for raw in raws[:LOOKED_AT] if (name := picture_name(decoded(raw)))]
    folders = ("images", split, f"images/{split}", ".")
    return next((folder for folder in folders if any((data / folder / n).is_file() for n in names)), folders[0])


def decoded(raw: msgspec.Raw) -> dict[str, Any]:
    """A record; empty where it is none."""
    record = msgspec.json.decode(raw)
    return record if isinstance(record, dict) else {}


def picture_name(record: dict[str, Any]) -> str | None:
    """The file name of a record's picture; None where it has none."""
    name = record.get("name")
    return name if isinstance(name, str) and name else None


def scene(raw: msgspec.Raw, folder: str, counts: Counts) -> Scene | None:
    """One record; None, and counted, where it has no picture or no graph."""
    record = decoded(raw)
    name = picture_name(record)
    if name is None:
        return counts.leave_out("picture", "a record without the name of a picture")
    try:
        reading = read_scene_graphs(record)
        graph = reading.single()
    except SceneGraphError:
        return counts.leave_out("picture", "a record without a graph")
    count_left_out(reading, counts)
    picture = name if folder == "." else f"{folder}/{name}"
    return graph_scene(str(record.get("img_id", Path(name).stem)), graph, None, picture)
