"""Boxes and relations of VRD, VG-150 and V-COCO, each in its own format, as scenes without pictures.

Boxes are [ymin, ymax, xmin, xmax] in VRD and [x0, y0, x1, y1] in the others. Sizes of pictures are known for VRD alone;
for the others they are estimated, see `vg150_sizes` and `coco_size`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from sg_models.graph import image_records
from sg_models.graph.beside import Beside, read_sizes
from sg_models.graph.left_out import LeftOut
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from train.data.prepared.graph_reading import count_left_out, graph_scene
from train.data.prepared.preparer import Counts, PixelBox, Scene, Thing
from train.running.command_line import UsageError

MOST_OBJECTS = 24  # of a picture; a layout is trained for as many, unless it is told otherwise
# VG-150's predicates are those of several counts, cut to their stems: which of them are one
MERGED = {
    "on a": "on",
    "be on": "on",
    "in a": "in",
    "be in": "in",
    "of a": "of",
    "have a": "have",
    "wear a": "wear",
    "on front of": "in front of",
    "rid": "ride",
}
# V-COCO's actions with the role that the object plays in them
ACTIONS = {
    "hold obj": "hold",
    "sit instr": "sit on",
    "ride instr": "ride",
    "look obj": "look at",
    "hit instr": "hit with",
    "hit obj": "hit",
    "eat obj": "eat",
    "eat instr": "eat with",
    "jump instr": "jump on",
    "lay instr": "lie on",
    "talk_on_phone instr": "talk on",
    "carry obj": "carry",
    "throw obj": "throw",
    "catch obj": "catch",
    "cut instr": "cut with",
    "cut obj": "cut",
    "work_on_computer instr": "work on",
    "ski instr": "ski on",
    "surf instr": "surf on",
    "skateboard instr": "skateboard on",
    "drink instr": "drink from",
    "kick obj": "kick",
    "read obj": "read",
    "snowboard instr": "snowboard on",
}
PERSON = "person"
COCO_LONG, COCO_SHORT = 640, 480  # sides of most of its pictures


def read_vrd(folder: Path, part: str, counts: Counts) -> Iterator[Scene]:
    """VRD's pictures that have relations; `part` is train or test."""
    sizes = read_sizes(read_json(folder / f"{part}_image_metadata.json"))
    names, predicates = (read_json(folder / f"{kind}.json") for kind in ("objects", "predicates"))
    beside = Beside(sizes=sizes, object_names=names, predicate_names=predicates)
    for picture, rows in read_json(folder / f"annotations_{part}.json").items():
        if not rows or picture not in sizes:
            counts.leave_out("picture", "no size is known" if rows else "no object")
            continue
        left_out = LeftOut()
        graph = read_graph(lambda r=rows, p=picture, out=left_out: image_records.read_vrd(r, p, beside, out), counts)
        yield from layout(f"vrd/{picture}", graph, sizes[picture], left_out, counts)


def read_vg150(folder: Path, counts: Counts) -> Iterator[Scene]:
    """VG-150's pictures; each of the two files has predicates in an order of its own."""
    sizes = {picture: tuple(edges) for picture, edges in read_json(folder / "largest_box_edges.json").items()}
    names = read_json(folder / "objects.json")
    for half in ("a", "b"):
        beside = Beside(None, sizes, names, read_json(folder / f"predicates_{half}.json"))
        for row in read_json(folder / f"annotations_{half}.json"):
            picture = row[0] if row and row[1] and row[1]["objs"] else None
            if picture is None or picture not in sizes:
                counts.leave_out("picture", "no object" if picture is None else "no size is known")
                continue
            left_out = LeftOut()
            graph = read_graph(lambda r=row, b=beside, out=left_out: image_records.read_vg150(r, b, out), counts)
            yield from layout(f"vg150/{picture}", graph, sizes[picture], left_out, counts)


def read_graph(read: Any, counts: Counts) -> SceneGraph | None:
    """What a reader gives; None, and counted, where that is no graph."""
    try:
        return read()
    except SceneGraphError:
        return counts.leave_out("picture", "no object that can be read")


def layout(
    scene_id: str, graph: SceneGraph | None, size: tuple[int, int], left_out: LeftOut, counts: Counts
) -> Iterator[Scene]:
    """A graph as a scene without a picture; none for no graph, and for one that is too large, which is counted."""
    count_left_out(left_out, counts)
    if graph is None:
        return
    scene = with_boxes_alone(graph_scene(scene_id, graph, size, None), counts)
    scene.relations = distinct([(s, MERGED.get(p, p), o) for s, p, o in scene.relations], counts)
    yield from small_enough(scene, counts)


def with_boxes_alone(scene: Scene, counts: Counts) -> Scene:
    """The scene without objects whose box was left out: without it they are no part of a layout."""
    places = [i for i, thing in enumerate(scene.things) if thing.box is not None]
    place = {old: new for new, old in enumerate(places)}
    relations = [(place[s], p, place[o]) for s, p, o in scene.relations if s in place and o in place]
    counts.leave_out("object", "a box that was left out", len(scene.things) - len(places))
    counts.leave_out("relation", "an end that was left out", len(scene.relations) - len(relations))
    return replace(scene, things=[scene.things[i] for i in places], relations=relations)


def small_enough(scene: Scene, counts: Counts) -> Iterator[Scene]:
    """The scene, unless it has more objects than a layout is trained for."""
    if len(scene.things) > MOST_OBJECTS:
        counts.leave_out("picture", f"more than {MOST_OBJECTS} objects")
    else:
        yield scene


def distinct(relations: list[tuple[int, str, int]], counts: Counts) -> list[tuple[int, str, int]]:
    """Relations without those that an earlier one says, which are counted."""
    kept = list(dict.fromkeys(relations))
    counts.leave_out("relation", "one that an earlier one says", len(relations) - len(kept))
    return kept


def read_v_coco(folder: Path, part: str, counts: Counts) -> Iterator[Scene]:
    """V-COCO's pictures with pairs of a person and an object; `part` is trainval or test."""
    file = read_json(folder / f"instances_vcoco_{part}.json")
    actions, names = file["classes"], file["objects"]
    unknown = sorted(set(actions) - ACTIONS.keys())
    if unknown:
        raise UsageError(f"{folder} has actions that V-COCO has not: {', '.join(unknown)}; download it again")
    for row in file["annotations"]:
        if not row["boxes_h"]:
            counts.leave_out("picture", "no pair of a person and an object")
            continue
        scene = v_coco_scene(row, [ACTIONS[action] for action in actions], names)
        scene.relations = distinct(scene.relations, counts)
        yield from small_enough(scene, counts)


def v_coco_scene(row: dict[str, Any], predicates: list[str], names: list[str]) -> Scene:
    """One picture of V-COCO: `boxes_h` and `boxes_o` are the two ends of each pair."""
    places: dict[tuple[str, PixelBox], int] = {}

    def place(name: str, box: list[float]) -> int:
        return places.setdefault((name, tuple(box)), len(places))  # type: ignore[arg-type]

    relations = []
    for person, box, action, name in zip(row["boxes_h"], row["boxes_o"], row["actions"], row["objects"], strict=True):
        relations.append((place(PERSON, person), predicates[action], place(names[name], box)))
    things = [Thing(name, box) for name, box in places]
    return Scene(f"v-coco/{row['file_name']}", coco_size([box for _, box in places]), things, relations)


def coco_size(boxes: list[PixelBox]) -> tuple[int, int]:
    """The likely size of a picture of COCO with these boxes: nearly all are 640 on the long side and about 480 on the
    other; where no box tells which one is long, it is the width."""
    right, bottom = max(box[2] for box in boxes), max(box[3] for box in boxes)
    if bottom <= COCO_SHORT:
        return COCO_LONG, COCO_SHORT
    return (COCO_SHORT if right <= COCO_SHORT else COCO_LONG), COCO_LONG


def read_json(path: Path) -> Any:
    """A JSON file; raises `UsageError` where it is none."""
    try:
        return msgspec.json.decode(path.read_bytes())
    except msgspec.DecodeError as error:
        raise UsageError(f"{path} is not whole JSON ({error}); download it again") from error
