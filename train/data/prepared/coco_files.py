"""COCO's annotation files, read a row at a time: pictures, and annotations with boxes and segmentations.

The files have up to 1 GB. They are mapped, cut into rows without being parsed, and every row is decoded to the few
fields that count; segmentations stay text in the file until they are asked for. A row of another form costs that row
and is counted.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pycocotools import mask as coco_mask

from train.data.prepared.preparer import Counts
from train.running.command_line import UsageError

ANOTHER_FORM = "a row of another form"
POLYGON_NUMBERS = 6  # of the smallest one, a triangle


class ImageRow(msgspec.Struct, gc=False):
    id: int
    file_name: str
    width: int
    height: int


class CategoryRow(msgspec.Struct):
    id: int
    name: str


class AnnotationRow(msgspec.Struct, gc=False):
    """`bbox` is x, y, width, height in pixels."""

    image_id: int
    category_id: int
    bbox: tuple[float, float, float, float]
    segmentation: msgspec.Raw


class AnnotationFile(msgspec.Struct):
    images: list[msgspec.Raw]
    annotations: list[msgspec.Raw]
    categories: list[CategoryRow]


class RunLengths(msgspec.Struct):
    """Lengths of runs down the columns, as numbers or as COCO's compressed text; `size` is height, width."""

    size: tuple[int, int]
    counts: list[int] | str


SEGMENTATION = msgspec.json.Decoder(list[list[float]] | RunLengths)


def read_annotation_file(path: Path) -> AnnotationFile:
    """An annotation file, its rows not yet parsed; raises `UsageError` where it is none, or a download that broke off.

    The rows are places in the file, which stays mapped as long as there are any.
    """
    with path.open("rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            return msgspec.json.decode(mapped, type=AnnotationFile)
        except (ValueError, msgspec.DecodeError) as error:
            raise UsageError(f"{path} is not a whole annotation file of COCO ({error}); download it again") from error


def read_images(file: AnnotationFile, counts: Counts) -> dict[int, ImageRow]:
    """The pictures of a file by their ids, in the order of the file."""
    images: dict[int, ImageRow] = {}
    for row in rows(file.images, ImageRow, "picture", counts):
        if row.id in images or min(row.width, row.height) < 1:
            counts.leave_out("picture", "an id that an earlier one has" if row.id in images else "no size")
            continue
        images[row.id] = row
    return images


def rows(raws: list[msgspec.Raw], row_type: Any, what: str, counts: Counts) -> Iterator[Any]:
    """Rows of a file that are of the right form, the others counted."""
    decoder = msgspec.json.Decoder(row_type)
    for raw in raws:
        try:
            yield decoder.decode(raw)
        except msgspec.DecodeError:
            counts.leave_out(what, ANOTHER_FORM)


def decode_segmentation(segmentation: msgspec.Raw | bytes, width: int, height: int) -> np.ndarray:
    """Polygons, or run lengths as numbers or text, as a mask: bool [height, width].

    Raises `ValueError` for what is no segmentation of a picture of that size.
    """
    said = SEGMENTATION.decode(segmentation)  # its error is a ValueError
    if isinstance(said, list):
        if not said or any(len(polygon) < POLYGON_NUMBERS or len(polygon) % 2 for polygon in said):
            raise ValueError("a polygon has at least three points, of two numbers each")
        lengths = coco_mask.merge(coco_mask.frPyObjects(said, height, width))
    elif said.size != (height, width):
        raise ValueError(f"the segmentation is of {said.size[1]} × {said.size[0]} pixels, not {width} × {height}")
    elif isinstance(said.counts, str):
        lengths = {"size": [height, width], "counts": said.counts.encode()}
    else:
        if sum(said.counts) != height * width or min(said.counts) < 0:
            raise ValueError("the runs do not cover the picture")
        lengths = coco_mask.frPyObjects({"size": [height, width], "counts": said.counts}, height, width)
    return coco_mask.decode(lengths).astype(bool)
