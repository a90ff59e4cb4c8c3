"""Visual Genome as sg2im's own script writes it: train.h5, val.h5, test.h5 and vocab.json, read as they are.

Boxes are x, y, width, height in pixels. Rows per image are padded with -1, all but `object_attributes`: that has a row
per object, those of all images one after the other, so that an image's rows start where those before it end.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from train.data.prepared.picture_files import VisualGenomePictures
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource, Thing
from train.data.prepared.visual_genome_files import read_images
from train.running.command_line import UsageError

VOCABULARY = "vocab.json"
SPLIT_FILES = {"train": "train.h5", "val": "val.h5", "test": "test.h5"}
SIZES = "image_data.json"  # the HDF5 files have none; without it they are read off the pictures
MADE_UP = "__"  # sg2im's own names, __image__ and __in_image__, start so
IMAGES_AT_ONCE = 1024
COLUMNS = ("object_names", "object_boxes", "objects_per_image", "attributes_per_object", "relationships_per_image")
ENDS = ("relationship_subjects", "relationship_predicates", "relationship_objects")


@dataclass(frozen=True)
class Words:
    """What the numbers in the files stand for."""

    names: list[str]
    predicates: list[str]
    attributes: list[str] = field(default_factory=list)


def are_in(data: Path) -> bool:
    """Whether a folder holds sg2im's files, all of them."""
    return all((data / name).is_file() for name in (VOCABULARY, *SPLIT_FILES.values()))


def source(options: PrepareOptions, title: str, licence: str, attribution: str) -> Source:
    """sg2im's files in a folder that has them; raises `UsageError` for a vocabulary of another form."""
    data = options.data
    words = read_words(data / VOCABULARY)
    sizes = (data / SIZES,) if (data / SIZES).is_file() else ()
    files = (data / VOCABULARY, *(data / name for name in SPLIT_FILES.values()), *sizes)

    def read(counts: Counts) -> dict[str, SplitSource]:
        size_of = read_sizes(sizes[0], counts) if sizes else {}
        pictures = VisualGenomePictures(data)
        return {split: split_source(pictures, data / name, words, size_of) for split, name in SPLIT_FILES.items()}

    facts = {"names": len(words.names), "predicates": len(words.predicates), "attributes": len(words.attributes)}
    return Source(title, licence, attribution, files, {"from": "sg2im's HDF5 files"}, read, facts)


def read_words(path: Path) -> Words:
    """vocab.json."""
    try:
        vocabulary = json.loads(path.read_bytes())
        return Words(
            list(vocabulary["object_idx_to_name"]),
            list(vocabulary["pred_idx_to_name"]),
            list(vocabulary.get("attribute_idx_to_name", ())),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{path} is not the vocab.json that sg2im's preprocess_vg.py writes ({error!r})") from error


def read_sizes(path: Path, counts: Counts) -> dict[int, tuple[int, int]]:
    """Width and height of every image by its id."""
    images = read_images(path, counts)
    return dict(zip(images.place, map(tuple, images.size.tolist()), strict=True))


def split_source(
    pictures: VisualGenomePictures, path: Path, words: Words, size_of: dict[int, tuple[int, int]]
) -> SplitSource:
    """One of the HDF5 files; raises `UsageError` if it is none."""
    try:
        with h5py.File(path, "r") as file:
            total = len(file["image_ids"])
    except (OSError, KeyError) as error:
        raise UsageError(f"{path} is not what sg2im's preprocess_vg.py writes ({error}); write it again") from error

    def scenes(counts: Counts) -> Iterator[Scene]:
        with h5py.File(path, "r") as file:
            for image_id, picture, rows in image_rows(file):
                things, relations = graph_rows(rows, words, counts)
                yield Scene(str(image_id), size_of.get(image_id), things, relations, pictures.find(picture))

    return SplitSource(scenes, total)


def image_rows(file: h5py.File) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Every image's id, the path of its picture, and its rows: of numbers, attributes included, without padding."""
    first_object = 0
    for start in range(0, len(file["image_ids"]), IMAGES_AT_ONCE):
        part = slice(start, start + IMAGES_AT_ONCE)
        columns = {name: file[name][part] for name in (*COLUMNS, *ENDS) if name in file}
        objects = columns["objects_per_image"]
        stop = first_object + int(objects.sum())
        described = file["object_attributes"][first_object:stop] if "object_attributes" in file else None
        starts = np.concatenate([[0], np.cumsum(objects)])
        for i, (image_id, path) in enumerate(zip(file["image_ids"][part], file["image_paths"][part], strict=True)):
            count, joined = int(objects[i]), slice(int(columns["relationships_per_image"][i]))
            rows = {"name": columns["object_names"][i, :count], "box": columns["object_boxes"][i, :count]}
            rows |= {end: columns[end][i, joined] for end in ENDS}
            if described is not None:
                rows["attributes"] = described[starts[i] : starts[i + 1]]
            yield int(image_id), path.decode() if isinstance(path, bytes) else str(path), rows
        first_object = stop


def graph_rows(rows: dict[str, Any], words: Words, counts: Counts) -> tuple[list[Thing], list[tuple[int, str, int]]]:
    """An image's objects and relations in words, without those that sg2im makes up."""
    things, place = [], {}
    described = rows.get("attributes", [()] * len(rows["name"]))
    for i, (number, box, attributes) in enumerate(zip(rows["name"].tolist(), rows["box"], described, strict=True)):
        name = word(words.names, number)
        if name.startswith(MADE_UP):
            counts.leave_out("object", f"{name}, which stands for the picture")
            continue
        x, y, w, h = box.tolist()
        place[i] = len(things)
        said = [word(words.attributes, int(attribute)) for attribute in attributes if attribute >= 0]
        counts.leave_out("attribute", "said twice", len(said) - len(set(said)))
        things.append(Thing(name, (x, y, x + w, y + h), tuple(dict.fromkeys(said))))
    nowhere, relations = len(things), []
    for subject, number, object_ in zip(*(rows[end].tolist() for end in ENDS), strict=True):
        predicate = word(words.predicates, number)
        if predicate.startswith(MADE_UP):
            counts.leave_out("relation", f"{predicate}, which joins objects to the picture")
        else:
            relations.append((place.get(subject, nowhere), predicate, place.get(object_, nowhere)))
    return things, relations


def word(words: list[str], number: int) -> str:
    """What a number stands for; if that is nothing, empty text, which is counted with what no graph can hold."""
    return words[number] if 0 <= number < len(words) else ""
