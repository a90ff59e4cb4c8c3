"""From a scene to a record: boxes from pixels of the picture to parts of its crop, and what the crop leaves out."""

from dataclasses import dataclass

from sg_models.graph.scene_graph import MAX_OBJECTS, MAX_RELATIONS, Relation, SceneGraph, SceneGraphError, SceneObject
from train.data.prepared.preparer import CENTRE, Counts, PixelBox, Scene, Thing
from train.data.prepared.records import Record, pack_mask

LEAST_VISIBLE = 1 / 3  # of a box: a thing of which the crop shows less leaves the graph
SHAPE_TOLERANCE = 0.02  # sizes are rounded when pictures are made smaller

Crop = tuple[int, int, int, int]


def crop_box(size: tuple[int, int], crop: str) -> Crop | None:
    """The largest square in the middle of a picture of that width and height, or None for all of it."""
    width, height = size
    if crop != CENTRE or width == height:
        return None
    side = min(width, height)
    left, top = (width - side) // 2, (height - side) // 2
    return left, top, left + side, top + side


@dataclass(frozen=True)
class Frame:
    """The part of a scene's picture that is used, in the pixels that the boxes are in."""

    whole: PixelBox
    used: PixelBox

    def part(self, box: PixelBox) -> PixelBox | str:
        """What the crop shows of a box, or why that is too little."""
        x0, y0, x1, y1 = box
        if not (x0 < x1 and y0 < y1):  # true for NaN too
            return "a box without area"
        left, top, right, bottom = self.used
        if left <= x0 and top <= y0 and x1 <= right and y1 <= bottom:
            return box
        inside = intersection(box, self.whole)
        if not area(inside):
            return "a box outside of the picture"
        visible = intersection(inside, self.used)
        if area(visible) < LEAST_VISIBLE * area(inside):
            return "cut off by the crop"
        return visible

    def relative(self, box: PixelBox) -> PixelBox:
        """A box in the crop as parts of it, in [0, 1]; rounding must not make more than 1 of them."""
        left, top, right, bottom = self.used
        x0, y0, x1, y1 = box
        width, height = right - left, bottom - top
        x1, y1 = (x1 - left) / width, (y1 - top) / height
        return (x0 - left) / width, (y0 - top) / height, x1 if x1 < 1 else 1.0, y1 if y1 < 1 else 1.0


def cropped(scene: Scene, picture_size: tuple[int, int], crop: str, counts: Counts) -> Record | None:
    """The record of a scene whose picture is `picture_size` pixels; None, and counted, where nothing of it stays."""
    width, height = scene.size or picture_size
    if abs(width * picture_size[1] / (height * picture_size[0]) - 1) > SHAPE_TOLERANCE:
        counts.leave_out("picture", "another shape than its annotations say")
        return None
    square = crop_box(picture_size, crop)
    across, down = width / picture_size[0], height / picture_size[1]
    whole = (0.0, 0.0, float(width), float(height))
    used = (square[0] * across, square[1] * down, square[2] * across, square[3] * down) if square else whole
    kept = keep_things(scene.things, Frame(whole, used), counts)
    if not kept:
        counts.leave_out("picture", "no object that stays")
        return None
    masks = tuple(pack_mask(mask(box)) for _, mask, box in kept.values() if mask is not None)
    graph = SceneGraph(tuple(item for item, _, _ in kept.values()), keep_relations(scene, kept, counts))
    return Record(scene.id, graph, scene.picture, square if scene.picture else None, masks or None)


def keep_things(things: list[Thing], frame: Frame, counts: Counts) -> dict[int, tuple]:
    """The objects that stay with their masks and visible boxes, in pixels, by their positions in the scene.

    One whose box is not known may be anywhere, so it stays.
    """
    kept: dict[int, tuple] = {}
    for i, thing in enumerate(things):
        visible = None if thing.box is None else frame.part(thing.box)
        if isinstance(visible, str):
            counts.leave_out("object", visible)
            continue
        if len(kept) == MAX_OBJECTS:
            counts.leave_out("object", f"more than {MAX_OBJECTS} in a picture")
            continue
        item = scene_object(thing, visible and frame.relative(visible), counts)
        if item is not None:
            kept[i] = item, thing.mask, visible
    return kept


def scene_object(thing: Thing, box: PixelBox | None, counts: Counts) -> SceneObject | None:
    """An object with those of its attributes that a graph can hold; None, and counted, if it cannot hold the object."""
    try:
        return SceneObject(thing.name, thing.attributes, box)
    except SceneGraphError:
        pass  # one of its attributes, or the object itself
    try:
        item = SceneObject(thing.name, (), box)
    except SceneGraphError as error:
        counts.leave_out("object", "a box too thin" if error.path.startswith("box") else "no name a graph can hold")
        return None
    for attribute in thing.attributes:
        try:
            item = SceneObject(item.name, (*item.attributes, attribute), box)
        except SceneGraphError:
            counts.leave_out("attribute", "no text a graph can hold, or too long together")
    return item


def keep_relations(scene: Scene, kept: dict[int, tuple], counts: Counts) -> tuple[Relation, ...]:
    """The relations between objects that stay."""
    place = {position: i for i, position in enumerate(kept)}
    relations: list[Relation] = []
    for subject, predicate, object_ in scene.relations:
        if subject not in place or object_ not in place:
            unknown = not 0 <= min(subject, object_) <= max(subject, object_) < len(scene.things)
            counts.leave_out("relation", f"an end that {'is no object of the picture' if unknown else 'was left out'}")
        elif subject == object_:
            counts.leave_out("relation", "an object joined to itself")
        elif len(relations) == MAX_RELATIONS:
            counts.leave_out("relation", f"more than {MAX_RELATIONS} in a picture")
        else:
            try:
                relations.append(Relation(place[subject], predicate, place[object_]))
            except SceneGraphError:
                counts.leave_out("relation", "no predicate a graph can hold")
    return tuple(relations)


def intersection(a: PixelBox, b: PixelBox) -> PixelBox:
    """The part that two boxes share; without area where they share none."""
    ax0, ay0, ax1, ay1 = a
    bx0, by0, bx1, by1 = b
    x0, y0 = ax0 if ax0 > bx0 else bx0, ay0 if ay0 > by0 else by0
    x1, y1 = ax1 if ax1 < bx1 else bx1, ay1 if ay1 < by1 else by1
    return x0, y0, x1 if x1 > x0 else x0, y1 if y1 > y0 else y0


def area(box: PixelBox) -> float:
    x0, y0, x1, y1 = box
    return (x1 - x0) * (y1 - y0)
