"""Visual Genome's annotation files, read a record at a time into columns of numbers.

The files are arrays of up to 700 MB with a record per image. They are mapped, cut into records without being parsed,
and every record is decoded to the few fields that count (msgspec passes over the others); what stays in memory is a
row of numbers per object, attribute and relation. A row of another form costs that row and is counted.
"""

import mmap
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np

from train.data.prepared.annotation_text import Wordings
from train.data.prepared.preparer import Counts
from train.data.prepared.records import progress
from train.running.command_line import UsageError

ID_BITS = 40
Id = Annotated[int, msgspec.Meta(ge=0, lt=2**ID_BITS)]
Pixels = Annotated[float, msgspec.Meta(gt=-1e6, lt=1e6)]
# a backslash, a surrogate pair, and (group 1) half of one
ESCAPES = re.compile(rb"\\\\|\\u[dD][89abAB]..\\u[dD][c-fC-F]..|(\\u[dD][89a-fA-F]..)")
BROKEN = rb"\u0000"
ANOTHER_FORM = "a row of another form"


class ImageRow(msgspec.Struct, gc=False):
    image_id: Id
    width: int
    height: int
    url: str | None = None


class ObjectRow(msgspec.Struct, gc=False):
    object_id: Id
    x: Pixels
    y: Pixels
    w: Pixels
    h: Pixels
    names: list[str] = []


class AttributeRow(msgspec.Struct, gc=False):
    object_id: Id
    attributes: list[str] | None = None


class End(msgspec.Struct, gc=False):
    object_id: Id


class RelationRow(msgspec.Struct, gc=False):
    subject: End
    object: End
    predicate: str


class Objects(msgspec.Struct, gc=False):
    kind = "object"
    image_id: Id
    rows: list[ObjectRow] = msgspec.field(name="objects")


class Attributes(msgspec.Struct, gc=False):
    kind = "attribute"
    image_id: Id
    rows: list[AttributeRow] = msgspec.field(name="attributes")


class Relations(msgspec.Struct, gc=False):
    kind = "relation"
    image_id: Id
    rows: list[RelationRow] = msgspec.field(name="relationships")


@dataclass(frozen=True)
class Images:
    """The images of the data set, a row each."""

    place: dict[int, int]
    """the row of every image id"""
    size: np.ndarray
    """width and height, pixels: int64 [I, 2]"""
    paths: list[str]
    """pictures below the data folder"""


@dataclass(frozen=True)
class ObjectColumns:
    """Objects, in the order of the file; names are numbers of `wordings.texts`, in the order of their objects."""

    image: np.ndarray
    """rows of images: int64 [O]"""
    id: np.ndarray
    """int64 [O]"""
    box: np.ndarray
    """x, y, width, height, pixels: float32 [O, 4]"""
    name_count: np.ndarray
    """how many names each has: int64 [O]"""
    name: np.ndarray
    """int64 [sum of name_count]"""
    wordings: Wordings


@dataclass(frozen=True)
class AttributeColumns:
    """An attribute of an object per row."""

    image: np.ndarray
    """int64 [A]"""
    object_id: np.ndarray
    """int64 [A]"""
    attribute: np.ndarray
    """int64 [A]"""
    wordings: Wordings


@dataclass(frozen=True)
class RelationColumns:
    """A relation per row, its ends by the ids of objects."""

    image: np.ndarray
    """int64 [R]"""
    subject_id: np.ndarray
    """int64 [R]"""
    object_id: np.ndarray
    """int64 [R]"""
    predicate: np.ndarray
    """int64 [R]"""
    wordings: Wordings


def read_images(path: Path, counts: Counts) -> Images:
    """image_data.json. A picture lies where its URL says: VG_100K/1.jpg."""
    place: dict[int, int] = {}
    sizes, paths = array("q"), []
    for raw in raw_records(path):
        try:
            row = msgspec.json.decode(raw, type=ImageRow)
        except msgspec.DecodeError:
            counts.leave_out("picture", f"{ANOTHER_FORM} in {path.name}")
            continue
        if row.image_id in place or min(row.width, row.height) < 1:
            why = "an id that an earlier one has" if row.image_id in place else "no size"
            counts.leave_out("picture", f"{why} in {path.name}")
            continue
        place[row.image_id] = len(paths)
        sizes.extend((row.width, row.height))
        paths.append("/".join(row.url.split("/")[-2:]) if row.url else f"VG_100K/{row.image_id}.jpg")
    return Images(place, np.asarray(sizes).reshape(-1, 2), paths)


def read_objects(path: Path, images: Images, wordings: Wordings, counts: Counts) -> ObjectColumns:
    """objects.json."""
    image, ids, box, name_count, name = array("q"), array("q"), array("f"), array("q"), array("q")
    for place, rows in read_rows(path, Objects, images, counts):
        image.extend([place] * len(rows))
        ids.extend([row.object_id for row in rows])
        box.extend([side for row in rows for side in (row.x, row.y, row.w, row.h)])
        name_count.extend([len(row.names) for row in rows])
        name.extend([wordings[text] for row in rows for text in row.names])
    boxes = np.asarray(box).reshape(-1, 4)
    return ObjectColumns(np.asarray(image), np.asarray(ids), boxes, np.asarray(name_count), np.asarray(name), wordings)


def read_attributes(path: Path, images: Images, wordings: Wordings, counts: Counts) -> AttributeColumns:
    """attributes.json."""
    image, ids, attribute = array("q"), array("q"), array("q")
    for place, rows in read_rows(path, Attributes, images, counts):
        said = [(row.object_id, wordings[text]) for row in rows if row.attributes for text in row.attributes]
        image.extend([place] * len(said))
        ids.extend([object_id for object_id, _ in said])
        attribute.extend([number for _, number in said])
    return AttributeColumns(np.asarray(image), np.asarray(ids), np.asarray(attribute), wordings)


def read_relations(path: Path, images: Images, wordings: Wordings, counts: Counts) -> RelationColumns:
    """relationships.json."""
    image, subject, object_, predicate = array("q"), array("q"), array("q"), array("q")
    for place, rows in read_rows(path, Relations, images, counts):
        image.extend([place] * len(rows))
        subject.extend([row.subject.object_id for row in rows])
        object_.extend([row.object.object_id for row in rows])
        predicate.extend([wordings[row.predicate] for row in rows])
    return RelationColumns(*(np.asarray(column) for column in (image, subject, object_, predicate)), wordings)


def read_rows(path: Path, record: Any, images: Images, counts: Counts) -> Iterator[tuple[int, list[Any]]]:
    """The row of an image and its rows in an annotation file, for every image that `images` has.

    Raises `UsageError` if no record of the file is of the form that is asked for.
    """
    decoder, seen, refused = msgspec.json.Decoder(record), bytearray(len(images.paths)), None
    records = raw_records(path)
    for raw in progress(records, path.name, len(records)):
        try:
            made = decoder.decode(raw)
        except msgspec.DecodeError as error:
            refused, made = (refused or error), whole_rows(raw, record, counts)
        if made is None:
            counts.leave_out("record", f"no record of an image in {path.name}")
            continue
        place = images.place.get(made.image_id)
        if place is None:
            continue  # of no split, or too small: counted with the images
        if seen[place]:
            counts.leave_out("record", f"a second one of the same image in {path.name}")
            continue
        seen[place] = True
        yield place, made.rows
    if refused and not any(seen) and images.paths:
        raise UsageError(f"{path} is not Visual Genome's {path.name}: {refused}; download it again")


class Rough(msgspec.Struct):
    """A record with rows that are not looked at yet."""

    image_id: Id
    objects: list[msgspec.Raw] = []
    attributes: list[msgspec.Raw] = []
    relationships: list[msgspec.Raw] = []


def whole_rows(raw: msgspec.Raw, record: Any, counts: Counts) -> Any | None:
    """A record with those of its rows that are of the right form, the others counted; None if it is none at all."""
    (_, rows) = msgspec.structs.fields(record)
    row_type = rows.type.__args__[0]
    try:
        rough = msgspec.json.decode(raw, type=Rough)
    except msgspec.DecodeError:
        return None
    made = []
    for row in getattr(rough, rows.encode_name):
        try:
            made.append(msgspec.json.decode(row, type=row_type))
        except msgspec.DecodeError:
            counts.leave_out(record.kind, ANOTHER_FORM)
    return record(rough.image_id, made)


def raw_records(path: Path) -> list[msgspec.Raw]:
    """The records of a file that is one JSON array, not yet parsed: they are places in the file, which stays mapped as
    long as there are any.

    Raises `UsageError` where it is no such array, as after a download that broke off.
    """
    if not path.stat().st_size:
        raise UsageError(f"{path} is empty; download it again")
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return msgspec.json.decode(mapped, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass  # a text that no string can hold breaks the whole file for strict readers
    try:
        return msgspec.json.decode(without_broken_text(mapped[:]), type=list[msgspec.Raw])
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not whole JSON ({error}); download it again") from error


def without_broken_text(text: bytes) -> bytes:
    """JSON whose halves of surrogate pairs are the character 0, which no name may hold, and whose bytes that are no
    UTF-8 are U+FFFD."""
    repaired = ESCAPES.sub(lambda found: BROKEN if found[1] else found[0], text)
    return repaired.decode("utf-8", "replace").encode()
