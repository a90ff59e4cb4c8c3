"""What a data set is read from: the contract between `prepare.py` and a file per data set.

A preparer looks at the options and the folder and says what it would read (`Source`); reading starts when `read` is
called, and not at all where everything is prepared already. It gives scenes with boxes in pixels of the whole picture;
`preparation.py` checks pictures, crops, and writes, alike for all data sets. A preparer is a line in `preparers.py`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tyro

from sg_models.bases import sg_mini

PixelBox = tuple[float, float, float, float]  # (x0, y0, x1, y1) in pixels, origin top left

CENTRE, WHOLE = "centre", "none"  # crops


@dataclass
class PrepareOptions:
    """What is prepared, and how."""

    dataset: tyro.conf.Positional[str]
    """vg, vg-open, vg150, coco, laion-sg, folder or layouts"""
    data: Path
    """the folder that holds the data set's files; what is prepared goes to prepared/<data set> below it"""
    crop: Literal["centre", "none"] = CENTRE
    """centre: the largest square in the middle of every picture; none: the whole picture, squashed to a square"""
    pictures: bool = True
    """look for every picture and leave out what is missing or broken; --no-pictures trusts the annotations"""
    check_pictures: bool = False
    """decode every picture to the end, which finds truncated ones, and takes hours for large data sets"""
    download: bool = False
    """first fetch the files that are not in the folder, where the data set has an address that still answers"""
    boxes: Path | None = None
    """what train_layout.py wrote, or an adapter file, which places objects whose boxes the data set does not know, as
    in laion-sg; if left out, they have none"""
    base: str = sg_mini.NAME
    """the base that --boxes was trained on, whose text model reads the phrases"""
    overwrite: bool = False
    """prepare again what was prepared with other options or from other files"""


class Counts:
    """How many of what were kept and left out, by reason: nothing is left out without being counted."""

    def __init__(self, left_out: Mapping[str, Mapping[str, int]] | None = None) -> None:
        self._left_out = Counter({(what, why): n for what, whys in (left_out or {}).items() for why, n in whys.items()})

    def leave_out(self, what: str, why: str, count: int = 1) -> None:
        """Counts what is left out: `what` is "picture", "object", "relation", "attribute", "box" or "record", a whole
        row of a file; `why` is a reason."""
        if count:
            self._left_out[what, why] += int(count)

    def left_out(self, what: str, why: str | None = None) -> int:
        """How many, for one reason or for all of them."""
        return sum(n for (kind, reason), n in self._left_out.items() if kind == what and why in (None, reason))

    def to_dict(self) -> dict[str, dict[str, int]]:
        """The counts by what and why."""
        counts: dict[str, dict[str, int]] = {}
        for (what, why), count in sorted(self._left_out.items()):
            counts.setdefault(what, {})[why] = count
        return counts


@dataclass(slots=True)
class Thing:
    """An object of a scene. A box may reach past the picture; it is clipped, and the thing left out if nothing stays.
    It is None where the data set does not know it.

    `mask` gives the object's mask within a part of the picture, a box in pixels, as bool [S, S] with S a multiple of 4;
    either all things of a data set have one or none has.
    """

    name: str
    box: PixelBox | None
    attributes: tuple[str, ...] = ()
    mask: Callable[[PixelBox], np.ndarray] | None = None


@dataclass(slots=True)
class Scene:
    """One picture with its graph as the data set has it. `size` is (width, height) in the pixels that boxes are in,
    None where only the picture itself knows; relations are (the subject's position, predicate, the object's position);
    `picture` is a path below the data folder, None where there is none."""

    id: str
    size: tuple[int, int] | None
    things: list[Thing]
    relations: list[tuple[int, str, int]] = field(default_factory=list)
    picture: str | None = None


@dataclass(frozen=True)
class SplitSource:
    """One split: how many scenes there will be, as far as that is known, and the scenes themselves. What is left out on
    the way is counted in the counts that `scenes` is given."""

    scenes: Callable[[Counts], Iterable[Scene]]
    total: int | None = None


@dataclass(frozen=True)
class Source:
    """What a preparer found in the folder.

    `files` decide what comes out, with `settings`: if none of them changes, nothing is prepared again, so large
    annotation files belong here and pictures do not. `read` is given the counts of what is left out before the scenes
    are split up, and returns the splits by name, train first; what it adds to `facts` is written down for people.
    """

    title: str
    licence: str
    attribution: str
    files: tuple[Path, ...]
    settings: dict[str, Any]
    read: Callable[[Counts], dict[str, SplitSource]]
    facts: dict[str, Any] = field(default_factory=dict)


Preparer = Callable[[PrepareOptions], Source]
"""Raises `UsageError` where the folder has not what the data set is read from, and says what to put there."""
