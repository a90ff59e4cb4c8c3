"""A made-up Visual Genome: its annotation files in its own format and about its own proportions, without pictures.

    python benchmarks/visual_genome_made_up.py <folder> --images 20000

As in the real one there are 35 objects and 21 relations to an image, two objects in five have attributes, few names and
predicates are frequent and many rare, large objects of frequent names are those that relations are about, predicates
come in capitals too, every relation repeats its two objects in full, and the files take about 15 KB per image.
"""

import argparse
import json
import random
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any

NAMES, PREDICATES, ATTRIBUTES = 5000, 600, 800  # different ones
OBJECTS, RELATIONS = 35, 21  # per image, on average
DESCRIBED = 0.4  # of the objects
PROMINENT = 0.6  # of the relations are between large objects of the first `FREQUENT` names
FREQUENT, LARGE = 60, 32
SIDES = (500, 375)
Row = dict[str, Any]


class Words:
    """Made-up words; the n-th is about 1/n as frequent as the first."""

    def __init__(self, rng: random.Random, kind: str, count: int) -> None:
        self.rng, self.words = rng, [f"{kind} {i}" for i in range(count)]
        self.weights = list(accumulate(1 / (i + 3) for i in range(count)))

    def draw(self) -> str:
        return self.rng.choices(self.words, cum_weights=self.weights)[0]


class MadeUp:
    """Images one after the other, each as a record of every file."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.names = Words(self.rng, "thing", NAMES)
        self.predicates = Words(self.rng, "does", PREDICATES)
        self.attributes = Words(self.rng, "looks", ATTRIBUTES)
        self.ids = iter(range(1_000_000, 10**12))

    def image(self, image_id: int) -> dict[str, Row]:
        """The records of one image by the file that they stand in."""
        things = [self._thing() for _ in range(self._about(OBJECTS))]
        prominent = [thing for thing in things if self._is_prominent(thing)]
        relations = []
        for _ in range(self._about(RELATIONS)):
            ends = prominent if len(prominent) > 1 and self.rng.random() < PROMINENT else things
            relations.append(self._relation(*self.rng.choices(ends, k=2)))
        described = [
            thing | {"attributes": [self.attributes.draw()]} if self.rng.random() < DESCRIBED else thing
            for thing in things
        ]
        url = f"https://cs.stanford.edu/people/rak248/VG_100K_2/{image_id}.jpg"
        sizes = {"width": SIDES[0], "height": SIDES[1], "coco_id": None, "flickr_id": None}
        return {
            "image_data.json": {"image_id": image_id, "url": url} | sizes,
            "objects.json": {"image_id": image_id, "objects": things, "image_url": url},
            "attributes.json": {"image_id": image_id, "attributes": described, "image_url": url},
            "relationships.json": {"relationships": relations, "image_id": image_id},
        }

    def _about(self, mean: int) -> int:
        return max(1, round(self.rng.gauss(mean, mean / 2)))

    def _thing(self) -> Row:
        rng, name = self.rng, self.names.draw()
        w, h = (min(side, 8 + int(rng.expovariate(1 / 60))) for side in SIDES)
        x, y = rng.randrange(SIDES[0] - w + 1), rng.randrange(SIDES[1] - h + 1)
        names = [name] if rng.random() < 0.97 else [name, self.names.draw()]
        synsets = [f"{name.replace(' ', '_')}.n.01"]
        return {"synsets": synsets, "h": h, "object_id": next(self.ids), "names": names, "w": w, "y": y, "x": x}

    def _is_prominent(self, thing: Row) -> bool:
        return min(thing["w"], thing["h"]) >= LARGE and int(thing["names"][0].split()[1]) < FREQUENT

    def _relation(self, subject: Row, object_: Row) -> Row:
        predicate = self.predicates.draw()
        return {
            "predicate": predicate.upper() if self.rng.random() < 0.3 else predicate,
            "object": object_,
            "relationship_id": next(self.ids),
            "synsets": ["along.r.01"],
            "subject": subject,
        }


def make(folder: Path, images: int, seed: int = 0) -> None:
    """Writes the annotation files, alias lists and the split of four fifths, a tenth and a tenth."""
    folder.mkdir(parents=True, exist_ok=True)
    made = MadeUp(seed)
    records = (made.image(image_id) for image_id in range(1, images + 1))
    write_arrays(folder, records)
    (folder / "object_alias.txt").write_text(aliases("thing", NAMES))
    (folder / "relationship_alias.txt").write_text(aliases("does", PREDICATES))
    order = random.Random(seed).sample(range(1, images + 1), images)
    tenth = images // 10
    splits = {"train": order[2 * tenth :], "val": order[:tenth], "test": order[tenth : 2 * tenth]}
    (folder / "vg_splits.json").write_text(json.dumps(splits))


def write_arrays(folder: Path, images: Iterator[dict[str, Row]]) -> None:
    """One JSON array per file, a record of each in memory at a time."""
    files: dict[str, Callable[[str], int]] = {}
    for records in images:
        for name, record in records.items():
            before = "," if name in files else "["
            if name not in files:
                files[name] = (folder / name).open("w").write
            files[name](before + " " * (before == ",") + json.dumps(record))
    for write in files.values():
        write("]")
        write.__self__.close()  # type: ignore[attr-defined]


def aliases(kind: str, count: int) -> str:
    """Every tenth word is also written as the one before it."""
    return "".join(f"{kind} {i - 1},{kind} {i}\n" for i in range(9, count, 10))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=20000)
    options = parser.parse_args()
    make(options.folder, options.images)
