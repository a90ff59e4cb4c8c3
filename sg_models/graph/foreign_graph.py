"""The scene graph of one foreign record while it is read: bad rows are left out and counted, never fatal.

Visual Genome and its kin have relations of an object with itself, empty names, ids that nothing has and ids that two
objects have, boxes outside of the picture: one such row must not cost the reader the whole file.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .left_out import LeftOut
from .line_phrase import plain_form
from .scene_graph import MAX_ATTRIBUTES, MAX_PHRASE_CHARS, Box, Relation, SceneGraph, SceneGraphError, SceneObject
from .scene_graph_error import described, is_integer, is_number

MAX_PIXELS = 1_000_000  # of a coordinate or an image side
ATTRIBUTE_KEYS = ("attribute", "name", "span", "value")
LEFT_OUT = -1  # the position of an object that is known and left out

Size = tuple[float, float]  # width and height of the picture, pixels


class UnknownKeyError(SceneGraphError):
    """A key that no reader of the format knows: it may hold a part of the graph, so nothing is read past it."""

    def under(self, parent: str) -> "UnknownKeyError":
        moved = super().under(parent)
        return UnknownKeyError(moved.message, moved.path)


class ForeignGraph:
    """Objects by the record's own ids and names, relations between them, and what had to be left out."""

    def __init__(self, left_out: LeftOut):
        self.left_out = left_out
        self.objects: list[SceneObject] = []
        self.relations: list[Relation] = []
        self._positions: dict[int | str, int] = {}
        self._named: dict[str, list[int]] = {}

    def add_object(self, object_id: Any, name: Any, attributes: Any, box: Box | None, path: str) -> None:
        """Adds an object, under an id unless that is None. Raises `SceneGraphError` for an id or a name of another kind
        than text or number, and text."""
        key = None if object_id is None else _checked_id(object_id)
        if key in self._positions:
            self.left_out.note("object", "an id that an earlier one has", path)
            return
        item = self._object(name, path)
        position = LEFT_OUT if item is None else len(self.objects)
        if key is not None:
            self._positions[key] = position
        if item is not None:
            self._named.setdefault(plain_form(item.name), []).append(position)
            self.objects.append(item)
            self.add_attributes(position, attributes, path)
            if box is not None:
                self._set_box(position, box, path)

    def add_named(self, name: Any, path: str) -> int:
        """The position of the object of that name, which is added where it is new."""
        known = self._named.get(plain_form(name)) if isinstance(name, str) else None
        if known:
            return known[0]
        before = len(self.objects)
        self.add_object(None, name, (), None, path)
        return before if len(self.objects) > before else LEFT_OUT

    def add_attributes(self, position: int, attributes: Any, path: str) -> None:
        """Attributes for an object: text, or a list or mapping of texts; null is none, as in Visual Genome."""
        for i, value in enumerate(_listed(attributes)):
            text = _attribute_text(value)
            if text is None or not text.strip():
                self.left_out.note("attribute", "empty, or no text", f"{path}.attributes[{i}]")
                continue
            item = self.objects[position]
            try:
                self.objects[position] = SceneObject(item.name, (*item.attributes, text), item.box)
            except SceneGraphError:
                limit = (
                    f"more than an object has: {MAX_ATTRIBUTES} of them, {MAX_PHRASE_CHARS} printable characters in all"
                )
                self.left_out.note("attribute", limit, f"{path}.attributes[{i}]")

    def add_relation(self, subject: int | None, predicate: Any, object_: int | None, path: str) -> None:
        """Adds a relation between positions as `find` gives them."""
        if predicate is None or (isinstance(predicate, str) and not predicate.strip()):
            self.left_out.note("relation", "an empty predicate", path)
        elif subject is None or object_ is None:
            self.left_out.note("relation", "an end that is no object of the graph, or could be several", path)
        elif LEFT_OUT in (subject, object_):
            self.left_out.note("relation", "an end that was left out itself", path)
        elif subject == object_:
            self.left_out.note("relation", "an object joined to itself", path)
        else:
            self.relations.append(Relation(subject, predicate, object_))

    def find(self, reference: Any) -> int | None:
        """The position of the object with that id, or, for text, of the only object of that name; None if there is
        none. Ids are the same as number and as text."""
        for key in _id_forms(reference):
            if key in self._positions:
                return self._positions[key]
        named = self._named.get(plain_form(reference), []) if isinstance(reference, str) else []
        return named[0] if len(named) == 1 else None

    def each(self, rows: Iterable[Any], what: str, path: str, read: Callable[[Any, str, int], None]) -> None:
        """Call `read(row, path of the row, its place)` for every row; a row that it refuses is left out and counted.

        Raises `SceneGraphError`, the first refusal, if it refuses them all, since that is a format not understood; and
        for an unknown key anywhere.
        """
        refused: list[tuple[str, SceneGraphError]] = []
        count = 0
        for count, row in enumerate(rows, start=1):
            place = f"{path}[{count - 1}]"
            try:
                read(row, place, count - 1)
            except UnknownKeyError as error:
                raise error.under(place) from None
            except SceneGraphError as error:
                refused.append((place, error))
        if refused and len(refused) == count:
            place, error = refused[0]
            raise error.under(place)
        for place, _ in refused:
            self.left_out.note(what, f"of another form ({refused[0][1]})", place)

    def graph(self) -> SceneGraph:
        """Raises `SceneGraphError` if no object is left, and for more than a graph may have."""
        return SceneGraph(tuple(self.objects), tuple(self.relations))

    def _object(self, name: Any, path: str) -> SceneObject | None:
        if name is None or (isinstance(name, str) and not name.strip()):
            self.left_out.note("object", "an empty name", path)
            return None
        return SceneObject(name)

    def _set_box(self, position: int, box: Box, path: str) -> None:
        item = self.objects[position]
        try:
            self.objects[position] = SceneObject(item.name, item.attributes, box)
        except SceneGraphError as error:
            self.left_out.note("box", error.message, path)


# Boxes in pixels


def pixel_box(graph: ForeignGraph, corners: tuple[Any, Any, Any, Any], size: Size | None, path: str) -> Box | None:
    """(x0, y0, x1, y1) in pixels as a box in [0, 1], clipped to the picture because annotators drew past its edge.

    None, and noted, where that leaves no area, or without the picture's size.
    """
    if size is None:
        reason = (
            'the picture\'s size is not known; write "width" and "height" into the record, or put Visual Genome\'s '
            "image_data.json beside the file"
        )
        graph.left_out.note("box", reason, path)
        return None
    x0, y0, x1, y1 = (pixels(value) for value in corners)
    width, height = size
    if x1 <= x0 or y1 <= y0:
        graph.left_out.note("box", "no area", path)
        return None
    x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if x0 >= x1 or y0 >= y1:
        graph.left_out.note("box", "outside of the picture", path)
        return None
    return x0 / width, y0 / height, x1 / width, y1 / height


def side_box(graph: ForeignGraph, row: Mapping[str, Any], size: Size | None, path: str) -> Box | None:
    """The box that `row` gives as x, y, w, h in pixels; None without any of them, and, noted, where they are no box."""
    if not any(side in row for side in "xywh"):
        return None
    try:
        x, y, w, h = (pixels(row.get(side), side) for side in "xywh")
    except SceneGraphError as error:
        graph.left_out.note("box", str(error), path)
        return None
    return pixel_box(graph, (x, y, x + w, y + h), size, path)


def image_size(record: Mapping[str, Any]) -> Size | None:
    """The record's own width and height, in pixels; None without both."""
    if record.get("width") is None or record.get("height") is None:
        return None
    size = pixels(record["width"], "width"), pixels(record["height"], "height")
    for side, length in zip(("width", "height"), size, strict=True):
        if length < 1:
            raise SceneGraphError(f"{length:g} is no size of a picture; write its pixels", side)
    return size


def pixels(value: Any, path: str = "") -> float:
    if not is_number(value) or not -MAX_PIXELS <= value <= MAX_PIXELS:  # false for NaN too
        raise SceneGraphError(f"expected pixels, got {described(value)}; write a number up to {MAX_PIXELS}", path)
    return float(value)


# Ids and attributes


def _checked_id(value: Any) -> int | str:
    forms = _id_forms(value)
    if not forms:
        raise SceneGraphError(f"expected a number or text, got {described(value)}; write 0")
    return forms[0]


def _id_forms(value: Any) -> list[int | str]:
    """The id itself and its other spelling: 58, "58"."""
    if is_integer(value) and abs(value) < 10**18:
        return [value, str(value)]
    if isinstance(value, str):
        is_number_too = value.isascii() and value.isdigit() and len(value) <= 18
        return [value, int(value)] if is_number_too else [value]
    return []


def _listed(attributes: Any) -> list[Any]:
    if attributes is None:
        return []
    if isinstance(attributes, str):
        return attributes.split(",") if attributes.strip() else []
    if isinstance(attributes, Mapping):
        return list(attributes.values())
    if isinstance(attributes, list | tuple):
        return list(attributes)
    raise SceneGraphError(f'expected a list, got {described(attributes)}; write ["brown"]', "attributes")


def _attribute_text(value: Any) -> str | None:
    if isinstance(value, Mapping):
        value = next((value[key] for key in ATTRIBUTE_KEYS if key in value), None)
    return value if isinstance(value, str) else None
