"""COCO-Stuff with graphs made from its boxes and segmentations as sg2im makes them (`coco`).

    annotations/instances_train2017.json  annotations/instances_val2017.json
    annotations/stuff_train2017.json      annotations/stuff_val2017.json
    train2017/  val2017/

Source: Johnson et al. 2018, "Image Generation from Scene Graphs", section 4. sg2im draws its relations anew whenever a
picture is asked for; here they are drawn from the picture's id, so that they are the same in every run.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from sg_models.layers.layout import MASK_SIDE
from train.data.prepared.coco_files import (
    AnnotationRow,
    ImageRow,
    decode_segmentation,
    read_annotation_file,
    read_images,
    rows,
)
from train.data.prepared.cropping import Frame, area, crop_box
from train.data.prepared.preparer import Counts, PixelBox, PrepareOptions, Scene, Source, SplitSource, Thing
from train.data.spatial_relations import Point, spatial_relation
from train.running.command_line import UsageError

TRAIN_PART, VALIDATION_PART = "train2017", "val2017"
LEAST_AREA = 0.02  # of the picture that is used; an object has more
FEWEST, MOST = 3, 8  # objects of a picture
VALIDATION_PICTURES = 1024  # of those that are kept of val2017; the rest is the test split
OTHER = "other"  # whatever has no stuff category of its own
PARTNERS = 29  # what a picture's random numbers are for, beside other uses of its id
SURFACES = ("ceiling", "floor", "wall")
LICENCE = "annotations CC BY 4.0; pictures as their owners on Flickr allow"
ATTRIBUTION = (
    "COCO: Lin et al., Microsoft COCO: Common Objects in Context, ECCV 2014; "
    "COCO-Stuff: Caesar et al., COCO-Stuff: Thing and Stuff Classes in Context, CVPR 2018"
)


@dataclass
class Candidate:
    """A picture with the annotations that may become its objects."""

    image: ImageRow
    frame: Frame
    annotations: list[tuple[str, AnnotationRow]] = field(default_factory=list)
    has_stuff: bool = False


def prepare(options: PrepareOptions) -> Source:
    """COCO-Stuff's annotations in a folder; raises `UsageError` for files that are not there."""
    files = [path for part in (TRAIN_PART, VALIDATION_PART) for path in annotation_files(options.data, part)]
    missing = [path.relative_to(options.data).as_posix() for path in files if not path.is_file()]
    if missing:
        raise UsageError(f"{options.data} lacks {', '.join(missing)}; put COCO's files there (docs/data.md)")

    def read(counts: Counts) -> dict[str, SplitSource]:
        train = candidates(options, TRAIN_PART, counts)
        held_out = candidates(options, VALIDATION_PART, counts)
        return {
            "train": split_source(TRAIN_PART, train),
            "val": split_source(VALIDATION_PART, held_out[:VALIDATION_PICTURES]),
            "test": split_source(VALIDATION_PART, held_out[VALIDATION_PICTURES:]),
        }

    settings = {"least_area": LEAST_AREA, "objects": [FEWEST, MOST], "validation_pictures": VALIDATION_PICTURES}
    return Source("COCO-Stuff, sg2im's relations", LICENCE, ATTRIBUTION, tuple(files), settings, read)


def annotation_files(data: Path, part: str) -> list[Path]:
    """The files of things and of stuff, in this order."""
    return [data / "annotations" / f"{kind}_{part}.json" for kind in ("instances", "stuff")]


def split_source(part: str, chosen: list[Candidate]) -> SplitSource:
    """A split of pictures from one folder."""
    return SplitSource(lambda counts: scenes(part, chosen, counts), len(chosen))


def candidates(options: PrepareOptions, part: str, counts: Counts) -> list[Candidate]:
    """The pictures that have stuff, and as many large objects as sg2im asks for, in the order of the file."""
    things, stuff = map(read_annotation_file, annotation_files(options.data, part))
    images = read_images(things, counts)
    found = {i: Candidate(image, frame_of(image, options.crop)) for i, image in images.items()}
    for file in (things, stuff):
        names = {row.id: stuff_name(row.name) if file is stuff else row.name for row in file.categories}
        for row in rows(file.annotations, AnnotationRow, "object", counts):
            candidate = found.get(row.image_id)
            if candidate is None:
                counts.leave_out("object", "one of no picture in the file")
                continue
            candidate.has_stuff |= file is stuff
            why = refusal(row, names.get(row.category_id), candidate.frame)
            if why is None:
                candidate.annotations.append((names[row.category_id], row))
            else:
                counts.leave_out("object", why)
    return [candidate for candidate in found.values() if counted(candidate, counts)]


def frame_of(image: ImageRow, crop: str) -> Frame:
    """The part of a picture that is used."""
    whole = (0.0, 0.0, float(image.width), float(image.height))
    return Frame(whole, crop_box((image.width, image.height), crop) or whole)


def refusal(row: AnnotationRow, name: str | None, frame: Frame) -> str | None:
    """Why an annotation is no object; None if it is one."""
    if name is None:
        return "one of no category in the file"
    if name == OTHER:
        return f"the category {OTHER!r}"
    x, y, w, h = row.bbox
    part = frame.part((x, y, x + w, y + h))
    if isinstance(part, str):
        return part
    return None if area(part) > LEAST_AREA * area(frame.used) else f"at most {LEAST_AREA:.0%} of the picture"


def counted(candidate: Candidate, counts: Counts) -> bool:
    """Whether a picture stays; if not, it is counted."""
    count = len(candidate.annotations)
    why = (
        "no stuff annotation"
        if not candidate.has_stuff
        else f"fewer than {FEWEST} objects"
        if count < FEWEST
        else f"more than {MOST} objects"
        if count > MOST
        else None
    )
    if why:
        counts.leave_out("picture", why)
    return why is None


def stuff_name(name: str) -> str:
    """A stuff category in the words that people use: "sky-other" is sky, "wall-brick" brick wall."""
    first, _, second = name.partition("-")
    if second in (OTHER, "stuff"):
        return first
    return f"{second} {first}" if first in SURFACES and second else f"{first} {second}".strip()


def scenes(part: str, chosen: list[Candidate], counts: Counts) -> Iterator[Scene]:
    """The graph of every picture that keeps enough objects, in order."""
    for candidate in chosen:
        image, frame = candidate.image, candidate.frame
        found = list(things(candidate, counts))
        if len(found) < FEWEST:
            counts.leave_out("picture", f"fewer than {FEWEST} objects with a segmentation")
            continue
        boxes = [frame.relative(frame.part(thing.box)) for thing, _ in found]  # type: ignore[arg-type]
        yield Scene(
            id=str(image.id),
            size=(image.width, image.height),
            things=[thing for thing, _ in found],
            relations=relations(boxes, [centroid for _, centroid in found], image.id),
            picture=f"{part}/{image.file_name}",
        )


def things(candidate: Candidate, counts: Counts) -> Iterator[tuple[Thing, Point]]:
    """The objects of a picture that have a mask, each with its centroid in parts of what is used of the picture."""
    image = candidate.image
    for name, row in candidate.annotations:
        x, y, w, h = row.bbox
        thing = Thing(name, (x, y, x + w, y + h))
        try:
            mask = decode_segmentation(row.segmentation, image.width, image.height)
        except ValueError:
            counts.leave_out("object", "a segmentation that cannot be read")
            continue
        thing.mask = partial(mask_within, mask)
        centroid = mask_centroid(mask, candidate.frame)
        if centroid is None:
            counts.leave_out("object", "no part of its segmentation in the picture")
        else:
            yield thing, centroid


def mask_centroid(mask: np.ndarray, frame: Frame) -> Point | None:
    """The mean of a mask's pixels, bool [H, W], in parts of what is used of the picture; None if none is used."""
    left, top, right, bottom = (round(side) for side in frame.used)
    used = mask[top:bottom, left:right]
    total = np.count_nonzero(used)
    if not total:
        return None
    # sums along an axis: ten times as fast as a list of all pixels
    across, down = np.count_nonzero(used, axis=0), np.count_nonzero(used, axis=1)
    x, y = (float(along @ (np.arange(len(along)) + 0.5)) / total for along in (across, down))
    return x / (right - left), y / (bottom - top)


def mask_within(mask: np.ndarray, box: PixelBox) -> np.ndarray:
    """What of a mask, bool [H, W], lies in a box in pixels: bool [MASK_SIDE, MASK_SIDE]."""
    x0, y0, x1, y1 = box
    left, top = int(x0), int(y0)
    window = mask[top : math.ceil(y1), left : math.ceil(x1)]
    picture = Image.fromarray(window.astype(np.uint8) * 255)
    inside = (x0 - left, y0 - top, x1 - left, y1 - top)
    return np.asarray(picture.resize((MASK_SIDE, MASK_SIDE), Image.Resampling.BOX, box=inside)) > 127


def relations(boxes: list[PixelBox], centroids: list[Point], image_id: int) -> list[tuple[int, str, int]]:
    """For every object its relation to a random other one, either of them the subject, by sg2im's rule.

    Boxes and centroids are in parts of the picture; the random numbers are those of the picture's id.
    """
    rng = np.random.default_rng((image_id, PARTNERS))
    found = []
    for this in range(len(boxes)):
        other = int(rng.choice([place for place in range(len(boxes)) if place != this]))
        subject, object_ = (this, other) if rng.random() < 0.5 else (other, this)
        predicate = spatial_relation(boxes[subject], boxes[object_], centroids[subject], centroids[object_])
        found.append((subject, predicate, object_))
    return found
