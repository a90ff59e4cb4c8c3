"""Visual Genome from its annotation files: sg2im's vocabulary and splits (`vg`), or every word (`vg-open`).

image_data.json  objects.json  attributes.json  relationships.json
object_alias.txt  relationship_alias.txt  vg_splits.json
VG_100K/  VG_100K_2/
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from train.data.prepared import sg2im_files
from train.data.prepared.annotation_text import Wordings, read_aliases
from train.data.prepared.picture_files import VisualGenomePictures
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource, Thing
from train.data.prepared.visual_genome_files import (
    Images,
    read_attributes,
    read_images,
    read_objects,
    read_relations,
)
from train.data.prepared.visual_genome_filter import (
    KeptAttributes,
    KeptObjects,
    KeptRelations,
    Limits,
    choose_images,
    choose_pictures,
    keep_attributes,
    keep_objects,
    keep_relations,
)
from train.running.command_line import UsageError

ANNOTATIONS = ("image_data.json", "objects.json", "attributes.json", "relationships.json")
ALIASES = ("object_alias.txt", "relationship_alias.txt")
SPLITS = "vg_splits.json"
SPLIT_NAMES = ("train", "val", "test")
LICENCE = "annotations CC BY 4.0; pictures as their owners on Flickr allow"
ATTRIBUTION = "Visual Genome: Krishna et al., Visual Genome, International Journal of Computer Vision, 2017"


def prepare_closed(options: PrepareOptions) -> Source:
    """`vg`: from sg2im's own HDF5 files where they are in the folder, else from Visual Genome's annotations."""
    title = "Visual Genome, sg2im's vocabulary"
    if sg2im_files.are_in(options.data):
        return sg2im_files.source(options, title, LICENCE, ATTRIBUTION)
    return source(options.data, Limits(), title)


def prepare_open(options: PrepareOptions) -> Source:
    """`vg-open`: no word left out or merged, attributes kept, the same sizes."""
    return source(options.data, Limits(open_vocabulary=True), "Visual Genome, every word")


def source(data: Path, limits: Limits, title: str) -> Source:
    """Visual Genome's annotations in a folder; raises `UsageError` for files that are not there."""
    names = (*ANNOTATIONS, SPLITS, *(() if limits.open_vocabulary else ALIASES))
    missing = [name for name in names if not (data / name).is_file()]
    if missing:
        raise UsageError(
            f"{data} lacks {', '.join(missing)}; put Visual Genome's files there (docs/data.md says where from), or "
            "write --download"
        )
    facts: dict[str, int] = {}

    def read(counts: Counts) -> dict[str, SplitSource]:
        return read_visual_genome(data, limits, counts, facts)

    files = tuple(data / name for name in names)
    return Source(title, LICENCE, ATTRIBUTION, files, {"limits": limits.to_dict()}, read, facts)


@dataclass(frozen=True)
class Annotations:
    """What stays of the annotations, and the words that its numbers stand for."""

    pictures: VisualGenomePictures
    images: Images
    objects: KeptObjects
    relations: KeptRelations
    attributes: KeptAttributes
    names: list[str]
    predicates: list[str]
    descriptions: list[str]


def read_visual_genome(data: Path, limits: Limits, counts: Counts, facts: dict[str, int]) -> dict[str, SplitSource]:
    """The splits; `facts` gets the sizes of the vocabularies."""
    wanted = read_splits(data / SPLITS)
    images = read_images(data / "image_data.json", counts)
    splits = choose_images(wanted, images, limits, counts)
    alias = [{} if limits.open_vocabulary else read_aliases(data / name) for name in ALIASES]
    rows = read_objects(data / "objects.json", images, Wordings(alias[0]), counts)
    objects = keep_objects(rows, images, splits, limits, counts)
    described = read_attributes(data / "attributes.json", images, Wordings(), counts)
    attributes = keep_attributes(described, objects, splits, limits, counts)
    joined = read_relations(data / "relationships.json", images, Wordings(alias[1]), counts)
    relations = keep_relations(joined, rows, objects, splits, limits, counts)
    for what, kept in (("names", objects), ("predicates", relations), ("attributes", attributes)):
        facts[what] = int(np.count_nonzero(kept.vocabulary))
    words = rows.wordings.words, joined.wordings.words, described.wordings.words
    annotations = Annotations(VisualGenomePictures(data), images, objects, relations, attributes, *words)

    def split(chosen: np.ndarray) -> SplitSource:
        return SplitSource(
            lambda counts: scenes(annotations, choose_pictures(chosen, objects, relations, limits, counts))
        )

    return {name: split(chosen) for name, chosen in splits.images.items()}


def read_splits(path: Path) -> dict[str, list[int]]:
    """The ids of every split's images, train first."""
    try:
        splits = json.loads(path.read_bytes())
        ids = {name: [int(i) for i in splits[name]] for name in SPLIT_NAMES}
    except (ValueError, KeyError, TypeError) as error:
        example = '{"train": [ids of images], "val": [...], "test": [...]}'
        raise UsageError(f"{path} does not name the images of every split ({error!r}); write {example}") from error
    return ids


def scenes(annotations: Annotations, images: np.ndarray) -> Iterator[Scene]:
    """The graph of every image, in order."""
    relations, ids = annotations.relations, list(annotations.images.place)
    things_at, relations_at = bounds(annotations.objects.image, images), bounds(relations.image, images)
    described_at = np.searchsorted(annotations.attributes.object, things_at).tolist()
    places = zip(images.tolist(), things_at.tolist(), described_at, relations_at.tolist(), strict=True)
    for image, (first, end), described, (start, stop) in places:
        triples = zip(
            relations.subject[start:stop].tolist(),
            relations.word[start:stop].tolist(),
            relations.object[start:stop].tolist(),
            strict=True,
        )
        yield Scene(
            id=str(ids[image]),
            size=tuple(annotations.images.size[image].tolist()),
            things=things(annotations, first, end, slice(*described)),
            relations=[(one - first, annotations.predicates[word], other - first) for one, word, other in triples],
            picture=annotations.pictures.find(annotations.images.paths[image]),
        )


def things(annotations: Annotations, first: int, end: int, described: slice) -> list[Thing]:
    """The objects of one image, the rows from `first` to before `end`, which those rows of attributes describe."""
    objects, attributes = annotations.objects, annotations.attributes
    said: dict[int, tuple[str, ...]] = {}
    for row, word in zip(attributes.object[described].tolist(), attributes.word[described].tolist(), strict=True):
        said[row] = (*said.get(row, ()), annotations.descriptions[word])
    rows = zip(objects.word[first:end].tolist(), objects.box[first:end].tolist(), strict=True)
    return [
        Thing(annotations.names[word], (x, y, x + w, y + h), said.get(row, ()))
        for row, (word, (x, y, w, h)) in enumerate(rows, start=first)
    ]


def bounds(image: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Where the rows of every image start and end: int64 [images, 2]. `image`, of every row, is ascending."""
    return np.stack([np.searchsorted(image, images, side=side) for side in ("left", "right")], axis=1)
