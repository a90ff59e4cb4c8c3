"""VG-150, the split of Visual Genome that scene-graph generation is measured on (Xu et al., CVPR 2017).

    VG-SGG-with-attri.h5 and VG-SGG-dicts-with-attri.json, or VG-SGG.h5 and VG-SGG-dicts.json
    image_data.json
    VG_100K/  VG_100K_2/

150 names, 50 predicates, in the first pair of files 200 attributes too. Boxes are centre x, centre y, width and height
in a picture whose long side is 1024. The split column has 0 for training and 2 for test; of the training images with
relations the first 5,000 are the validation split, as in Zellers et al., CVPR 2018.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from train.data.prepared.picture_files import VisualGenomePictures
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource, Thing
from train.data.prepared.visual_genome_files import Images, read_images
from train.running.command_line import UsageError

PAIRS = (("VG-SGG-with-attri.h5", "VG-SGG-dicts-with-attri.json"), ("VG-SGG.h5", "VG-SGG-dicts.json"))
IMAGES = "image_data.json"
LONG_SIDE = 1024  # of the pictures that `boxes_1024` is in
TRAINING, TEST = 0, 2
VALIDATION_IMAGES = 5000
BROKEN_PICTURES = {1592, 1722, 4616, 4617}  # image ids that the HDF5 file leaves out


@dataclass(frozen=True)
class Columns:
    """The HDF5 file, in memory: 60 MB for the whole data set. Places of boxes are counted from 0."""

    split: np.ndarray
    boxes: np.ndarray
    """centre x, centre y, width, height: [B, 4]"""
    labels: np.ndarray
    relations: np.ndarray
    """boxes of subject and object: [R, 2]"""
    predicates: np.ndarray
    box_range: np.ndarray
    """first and last box of every image, -1 where there is none: [I, 2]"""
    relation_range: np.ndarray
    """first and last relation of every image, -1 where there is none: [I, 2]"""
    attributes: np.ndarray | None
    """numbers of attributes, padded with 0: [B, 10]"""


@dataclass(frozen=True)
class Words:
    """What the numbers in the file stand for; they count from 1."""

    names: dict[int, str]
    predicates: dict[int, str]
    attributes: dict[int, str]


def prepare_vg150(options: PrepareOptions) -> Source:
    """VG-150; raises `UsageError` where its files are missing."""
    data = options.data
    pair = next((pair for pair in PAIRS if all((data / name).is_file() for name in pair)), None)
    if pair is None or not (data / IMAGES).is_file():
        raise UsageError(
            f"{data} lacks VG-150's files; put {PAIRS[0][0]} and {PAIRS[0][1]}, or {PAIRS[1][0]} and {PAIRS[1][1]}, "
            f"and {IMAGES} there (docs/data.md says where from)"
        )
    files = (data / pair[0], data / pair[1], data / IMAGES)
    words = read_words(files[1])
    facts = {"names": len(words.names), "predicates": len(words.predicates), "attributes": len(words.attributes)}

    def read(counts: Counts) -> dict[str, SplitSource]:
        columns, images = read_columns(files[0]), read_images(files[2], counts)
        return splits(data, columns, images, words, counts)

    return Source(
        "Visual Genome, VG-150",
        "annotations CC BY 4.0; pictures as their owners on Flickr allow",
        "Visual Genome: Krishna et al., IJCV 2017; the split: Xu et al., CVPR 2017",
        files,
        {"validation_images": VALIDATION_IMAGES},
        read,
        facts,
    )


def read_words(path: Path) -> Words:
    """The dictionary file."""
    try:
        dictionary = json.loads(path.read_bytes())
        tables = (dictionary["idx_to_label"], dictionary["idx_to_predicate"], dictionary.get("idx_to_attribute", {}))
        return Words(*({int(number): str(word) for number, word in table.items()} for table in tables))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is not the dictionary of VG-150 ({error!r}); download it again") from error


def read_columns(path: Path) -> Columns:
    """The HDF5 file; raises `UsageError` where it is another one, or not whole."""
    try:
        with h5py.File(path, "r") as file:
            ranges = [
                np.stack([file[f"img_to_{end}_{what}"][:] for end in ("first", "last")], axis=1).astype(np.int64)
                for what in ("box", "rel")
            ]
            return Columns(
                split=file["split"][:],
                boxes=file[f"boxes_{LONG_SIDE}"][:].astype(np.float64),
                labels=file["labels"][:].reshape(-1),
                relations=file["relationships"][:].astype(np.int64),
                predicates=file["predicates"][:].reshape(-1),
                box_range=ranges[0],
                relation_range=ranges[1],
                attributes=file["attributes"][:] if "attributes" in file else None,
            )
    except (OSError, KeyError) as error:
        raise UsageError(f"{path} is not VG-150's file, or not whole ({error}); download it again") from error


def splits(data: Path, columns: Columns, images: Images, words: Words, counts: Counts) -> dict[str, SplitSource]:
    """Training, validation and test images that have relations."""
    pictures = VisualGenomePictures(data)
    ids = [image_id for image_id in images.place if image_id not in BROKEN_PICTURES]
    if len(ids) != len(columns.split):
        raise UsageError(
            f"{data / IMAGES} has {len(ids)} images besides the four broken ones, the HDF5 file {len(columns.split)}; "
            "both must be those of VG-150"
        )
    empty = (columns.box_range[:, 0] < 0) | (columns.relation_range[:, 0] < 0)
    counts.leave_out("picture", "no relations", np.count_nonzero(empty))
    training = np.flatnonzero((columns.split == TRAINING) & ~empty)
    chosen = {
        "train": training[VALIDATION_IMAGES:],
        "val": training[:VALIDATION_IMAGES],
        "test": np.flatnonzero((columns.split == TEST) & ~empty),
    }

    def split(rows: np.ndarray) -> SplitSource:
        chosen = [(row, ids[row]) for row in rows.tolist()]
        return SplitSource(lambda counts: scenes(pictures, columns, images, words, chosen, counts), len(chosen))

    return {name: split(rows) for name, rows in chosen.items()}


def scenes(
    pictures: VisualGenomePictures,
    columns: Columns,
    images: Images,
    words: Words,
    rows: list[tuple[int, int]],
    counts: Counts,
) -> Iterator[Scene]:
    """The graphs of images by row and id."""
    for row, image_id in rows:
        place = images.place[image_id]
        width, height = images.size[place].tolist()
        first, last = columns.box_range[row].tolist()
        scale = max(width, height) / LONG_SIDE
        yield Scene(
            str(image_id),
            (width, height),
            [thing(columns, words, box, scale, counts) for box in range(first, last + 1)],
            triples(columns, words, row, counts),
            pictures.find(images.paths[place]),
        )


def triples(columns: Columns, words: Words, row: int, counts: Counts) -> list[tuple[int, str, int]]:
    """The relations of one image, each once."""
    joined = slice(columns.relation_range[row, 0], columns.relation_range[row, 1] + 1)
    ends = (columns.relations[joined] - columns.box_range[row, 0]).tolist()
    numbers = columns.predicates[joined].tolist()
    said = [
        (subject, words.predicates.get(number, ""), object_)
        for (subject, object_), number in zip(ends, numbers, strict=True)
    ]
    counts.leave_out("relation", "said twice", len(said) - len(set(said)))
    return list(dict.fromkeys(said))


def thing(columns: Columns, words: Words, box: int, scale: float, counts: Counts) -> Thing:
    """One object; `scale` makes pixels of the picture of the file's. A word that is unknown is empty, and left out and
    counted with the others that no graph can hold."""
    x, y, w, h = (columns.boxes[box] * scale).tolist()
    numbers = [] if columns.attributes is None else columns.attributes[box].tolist()
    said = [words.attributes.get(number, "") for number in numbers if number > 0]
    counts.leave_out("attribute", "said twice", len(said) - len(set(said)))
    corners = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
    return Thing(words.names.get(int(columns.labels[box]), ""), corners, tuple(dict.fromkeys(said)))
