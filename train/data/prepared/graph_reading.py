"""From graphs that the library's readers give to scenes, with what they left out counted."""

import re

from sg_models.graph.left_out import LeftOut
from sg_models.graph.reading import Reading
from sg_models.graph.scene_graph import SceneGraph
from train.data.prepared.preparer import Counts, Scene, Thing

DETAIL = re.compile(r" \(.*|.*\d.*", re.DOTALL)  # what a reason says of one row: its own numbers, or an example


def count_left_out(reading: Reading | LeftOut, counts: Counts) -> None:
    """Counts the rows that a reader left out of graphs, without what its reasons say of single rows."""
    rows = reading.left_out if isinstance(reading, Reading) else reading.counts()
    for what, reason, count in rows:
        counts.leave_out(what, DETAIL.sub("", reason) or "of another form", count)


def graph_scene(scene_id: str, graph: SceneGraph, size: tuple[int, int] | None, picture: str | None) -> Scene:
    """A graph as a scene, its boxes in pixels of a picture of that size; without a size none of its objects has any."""
    things = [Thing(item.name, item.box and size and scaled(item.box, size), item.attributes) for item in graph.objects]
    relations = [(r.subject, r.predicate, r.object) for r in graph.relations]
    return Scene(scene_id, size, things, relations, picture)


def scaled(box: tuple[float, float, float, float], size: tuple[int, int]) -> tuple[float, float, float, float]:
    """A box in parts of a picture of that size, in its pixels."""
    width, height = size
    return box[0] * width, box[1] * height, box[2] * width, box[3] * height
