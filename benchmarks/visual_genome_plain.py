"""Preparing Visual Genome the plain way: what `train/data/prepared/visual_genome.py` is measured against.

    python benchmarks/visual_genome_plain.py <folder>

After the manner of sg2im's preprocessing: every file is parsed whole with `json`, everything stays in memory, and one
pass after the other goes over the parsed rows: names, attributes, objects, predicates, images. The limits are those of
sg2im; the result is one HDF5 file per split. No picture is opened.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

MIN_IMAGE, MIN_BOX = 200, 32
MIN_NAMES, MIN_PREDICATES, MIN_ATTRIBUTES = 2000, 500, 2000
OBJECTS, RELATIONS = (3, 30), (1, 30)
Rows = list[dict[str, Any]]


def prepare(folder: Path, out: Path) -> dict[str, int]:
    """Writes train.h5, val.h5 and test.h5; returns how many images are in each."""
    sizes = {image["image_id"]: image for image in read(folder / "image_data.json")}
    splits = {
        split: [i for i in ids if min(sizes[i]["width"], sizes[i]["height"]) >= MIN_IMAGE]
        for split, ids in read(folder / "vg_splits.json").items()
    }
    name_of, predicate_of = (read_aliases(folder / f"{kind}_alias.txt") for kind in ("object", "relationship"))
    objects = {image["image_id"]: image["objects"] for image in read(folder / "objects.json")}
    names = frequent(
        (names for i in splits["train"] for row in objects[i] for names in {name_of.get(n, n) for n in row["names"]}),
        MIN_NAMES,
    )
    attributes = {image["image_id"]: image["attributes"] for image in read(folder / "attributes.json")}
    looks = frequent(
        (look for i in splits["train"] for row in attributes[i] for look in set(row.get("attributes", ()))),
        MIN_ATTRIBUTES,
    )
    kept = {
        row["object_id"]: (name, [row["x"], row["y"], row["w"], row["h"]])
        for ids in splits.values()
        for i in ids
        for row in objects[i]
        if (name := first_known(row, name_of, names)) is not None and min(row["w"], row["h"]) >= MIN_BOX
    }
    relations = {image["image_id"]: image["relationships"] for image in read(folder / "relationships.json")}
    for rows in relations.values():
        for row in rows:
            said = row["predicate"].lower().strip()
            row["predicate"] = predicate_of.get(said, said)
    predicates = frequent(
        (
            row["predicate"]
            for i in splits["train"]
            for row in relations[i]
            if row["subject"]["object_id"] in kept and row["object"]["object_id"] in kept
        ),
        MIN_PREDICATES,
    )
    counts = {}
    for split, ids in splits.items():
        graphs = []
        for i in ids:
            graph = encode(i, objects[i], attributes[i], relations[i], kept, looks, predicates)
            if graph is not None:
                graphs.append(graph)
        write(out / f"{split}.h5", graphs)
        counts[split] = len(graphs)
    (out / "vocab.json").write_text(json.dumps({"names": names, "predicates": predicates, "attributes": looks}))
    return counts


def read(path: Path) -> Any:
    with path.open() as file:
        return json.load(file)


def read_aliases(path: Path) -> dict[str, str]:
    lines = [[word.strip() for word in line.split(",")] for line in path.read_text().splitlines()]
    return {word: words[0] for words in lines for word in words}


def frequent(words: Iterable[str], least: int) -> dict[str, int]:
    often = [word for word, count in Counter(words).most_common() if count >= least]
    return {word: i for i, word in enumerate(often)}


def first_known(row: dict[str, Any], name_of: dict[str, str], names: dict[str, int]) -> int | None:
    for name in row["names"]:
        known = names.get(name_of.get(name, name))
        if known is not None:
            return known
    return None


def encode(
    image: int,
    objects: Rows,
    attributes: Rows,
    relations: Rows,
    kept: dict[int, tuple[int, list[int]]],
    looks: dict[str, int],
    predicates: dict[str, int],
) -> dict[str, Any] | None:
    """One image's graph as padded lists; None where it has too few or too many objects or relations."""
    ids = [row["object_id"] for row in objects if row["object_id"] in kept]
    if not OBJECTS[0] <= len(ids) <= OBJECTS[1]:
        return None
    place = {object_id: i for i, object_id in enumerate(ids)}
    triples = [
        (place[row["subject"]["object_id"]], predicates[row["predicate"]], place[row["object"]["object_id"]])
        for row in relations
        if row["predicate"] in predicates
        and row["subject"]["object_id"] in place
        and row["object"]["object_id"] in place
    ]
    if not RELATIONS[0] <= len(triples) <= RELATIONS[1]:
        return None
    described = {row["object_id"]: row.get("attributes", ()) for row in attributes}
    said = [[looks[look] for look in described.get(i, ()) if look in looks] for i in ids]
    return {
        "image_ids": image,
        "object_ids": padded(ids, OBJECTS[1], -1),
        "object_names": padded([kept[i][0] for i in ids], OBJECTS[1], -1),
        "object_boxes": padded([kept[i][1] for i in ids], OBJECTS[1], [-1] * 4),
        "objects_per_image": len(ids),
        "relationships": padded([list(triple) for triple in triples], RELATIONS[1], [-1] * 3),
        "relationships_per_image": len(triples),
        "object_attributes": padded([padded(row[:30], 30, -1) for row in said], OBJECTS[1], [-1] * 30),
    }


def padded(rows: list[Any], count: int, filler: Any) -> list[Any]:
    return rows + [filler] * (count - len(rows))


def write(path: Path, graphs: list[dict[str, Any]]) -> None:
    with h5py.File(path, "w") as file:
        for name in graphs[0] if graphs else ():
            file.create_dataset(name, data=np.array([graph[name] for graph in graphs]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(prepare(folder, folder))
