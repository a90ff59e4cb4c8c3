"""The scene graph: objects with attributes and boxes, joined by directed relations.

All three classes are frozen and check themselves when they are made, so a `SceneGraph` that exists is valid. Text is
normalised (outer space stripped, inner space collapsed) and keeps its case. Boxes are (x0, y0, x1, y1) in [0, 1],
origin top left.
"""

import json
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .scene_graph_error import (
    SceneGraphError,
    described,
    expect_key,
    expect_list,
    expect_mapping,
    is_integer,
    is_number,
    located,
)

__all__ = [
    "MAX_ATTRIBUTES",
    "MAX_OBJECTS",
    "MAX_PHRASE_CHARS",
    "MAX_RELATIONS",
    "MAX_TEXT_CHARS",
    "Box",
    "Relation",
    "SceneGraph",
    "SceneGraphError",
    "SceneObject",
]

MAX_TEXT_CHARS = 1_000_000  # of a whole text; the largest Visual Genome records are far below
MAX_PHRASE_CHARS = 200  # of an object's attributes and name together, and of a predicate; CLIP reads 77 tokens
MAX_OBJECTS = 256
MAX_ATTRIBUTES = 32  # of one object
MAX_RELATIONS = 1024

Box = tuple[float, float, float, float]

OBJECT_EXAMPLE = '{"name": "dog"}'
RELATION_EXAMPLE = '{"subject": 0, "predicate": "on", "object": 1}'


@dataclass(frozen=True)
class SceneObject:
    """One thing in the picture: a name ("dog"), attributes ("brown", "wet") and perhaps a box.

    `box` is (x0, y0, x1, y1) in [0, 1] with x0 < x1 and y0 < y1, also after rounding to float32, because tensors hold
    it. Raises `SceneGraphError` for wrong types, empty or too long text, and boxes that are no boxes.
    """

    name: str
    attributes: tuple[str, ...] = ()
    box: Box | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", _text(self.name, "name", "dog"))
        object.__setattr__(self, "attributes", _attributes(self.attributes))
        object.__setattr__(self, "box", None if self.box is None else _box(self.box))
        _check_phrase_length(self.phrase, "name")

    @property
    def phrase(self) -> str:
        """The object in words, attributes first: "small red circle"."""
        return " ".join((*self.attributes, self.name))

    def to_dict(self) -> dict[str, Any]:
        """The object as canonical JSON; `attributes` and `box` only where there are any."""
        record: dict[str, Any] = {"name": self.name}
        if self.attributes:
            record["attributes"] = list(self.attributes)
        if self.box is not None:
            record["box"] = list(self.box)
        return record


@dataclass(frozen=True)
class Relation:
    """`subject` stands in `predicate` to `object`; both are positions in `SceneGraph.objects`, from 0.

    Raises `SceneGraphError` for positions that are not two different integers, and for an empty or too long predicate.
    """

    subject: int
    predicate: str
    object: int

    def __post_init__(self) -> None:
        for end in ("subject", "object"):
            position = getattr(self, end)
            if not is_integer(position):
                raise SceneGraphError(f"expected the position of an object, got {described(position)}; write 0", end)
        object.__setattr__(self, "predicate", _text(self.predicate, "predicate", "left of"))
        _check_phrase_length(self.predicate, "predicate")
        if self.subject == self.object:
            raise SceneGraphError(
                f"the subject and the object are both object {described(self.subject)}; "
                "a relation joins two different objects, so add a second one to relate to",
                "object",
            )


@dataclass(frozen=True)
class SceneGraph:
    """A directed multigraph of 1 to `MAX_OBJECTS` objects and up to `MAX_RELATIONS` relations.

    Raises `SceneGraphError` for anything that is not such a graph, with the path of the fault.
    """

    objects: tuple[SceneObject, ...]
    relations: tuple[Relation, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "objects", _members(self.objects, SceneObject, "objects", MAX_OBJECTS))
        object.__setattr__(self, "relations", _members(self.relations, Relation, "relations", MAX_RELATIONS))
        if not self.objects:
            raise SceneGraphError("a scene graph has at least one object; add one", "objects")
        for i, relation in enumerate(self.relations):
            for end, position in (("subject", relation.subject), ("object", relation.object)):
                if not 0 <= position < len(self.objects):
                    raise SceneGraphError(
                        f"there is no object {described(position)}; write a position from 0 to {len(self.objects) - 1}",
                        f"relations[{i}].{end}",
                    )

    def to_dict(self) -> dict[str, Any]:
        """The graph as canonical JSON: a new dict of lists, dicts, strings and numbers."""
        return {
            "objects": [item.to_dict() for item in self.objects],
            "relations": [
                {"subject": relation.subject, "predicate": relation.predicate, "object": relation.object}
                for relation in self.relations
            ],
        }

    def to_json(self) -> str:
        """The graph as one line of canonical JSON; equal graphs give equal text."""
        return json.dumps(self.to_dict(), ensure_ascii=False)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "SceneGraph":
        """Reads canonical JSON, the inverse of `to_dict`; `relations` may be left out.

        Unknown keys are errors, because a misspelt key would otherwise lose a part of the graph without a word.
        """
        expect_mapping(record, "", '{"objects": [...], "relations": [...]}')
        _check_keys(record, ("objects", "relations"))
        example = f"[{OBJECT_EXAMPLE}]"
        objects = expect_list(expect_key(record, "objects", example), "objects", example)
        relations = expect_list(record.get("relations", ()), "relations", f"[{RELATION_EXAMPLE}]")
        return cls(
            tuple(_object_from_dict(item, f"objects[{i}]") for i, item in enumerate(objects)),
            tuple(_relation_from_dict(item, f"relations[{i}]") for i, item in enumerate(relations)),
        )


def _object_from_dict(record: Any, path: str) -> SceneObject:
    expect_mapping(record, path, OBJECT_EXAMPLE)
    with located(path):
        _check_keys(record, ("name", "attributes", "box"))
        return SceneObject(expect_key(record, "name", '"dog"'), record.get("attributes", ()), record.get("box"))


def _relation_from_dict(record: Any, path: str) -> Relation:
    expect_mapping(record, path, RELATION_EXAMPLE)
    with located(path):
        _check_keys(record, ("subject", "predicate", "object"))
        return Relation(
            expect_key(record, "subject", "0"),
            expect_key(record, "predicate", '"left of"'),
            expect_key(record, "object", "1"),
        )


def _check_keys(record: Mapping[Any, Any], known: tuple[str, ...]) -> None:
    for key in record:
        if key not in known:
            raise SceneGraphError(f"unknown key {described(key)}; write one of: {', '.join(known)}")


def _text(value: Any, path: str, example: str) -> str:
    if not isinstance(value, str):
        raise SceneGraphError(f'expected text, got {described(value)}; write text such as "{example}"', path)
    text = " ".join(value.split())
    if not text:
        raise SceneGraphError(f'the text is empty; write text such as "{example}"', path)
    for character in text:
        # Controls break logs and widgets; a lone surrogate (JSON's "\ud800") cannot be saved as UTF-8.
        if unicodedata.category(character) in ("Cc", "Cs"):
            raise SceneGraphError(f"the text holds the unprintable character {ascii(character)}; remove it", path)
    return text


def _check_phrase_length(phrase: str, path: str) -> None:
    if len(phrase) > MAX_PHRASE_CHARS:
        raise SceneGraphError(
            f"{described(phrase)} has {len(phrase)} characters; write at most {MAX_PHRASE_CHARS}", path
        )


def _attributes(value: Any) -> tuple[str, ...]:
    attributes = expect_list(value, "attributes", '["brown"]')
    if len(attributes) > MAX_ATTRIBUTES:
        raise SceneGraphError(f"{len(attributes)} attributes; write at most {MAX_ATTRIBUTES}", "attributes")
    return tuple(_text(item, f"attributes[{i}]", "brown") for i, item in enumerate(attributes))


def _members(value: Any, kind: type, path: str, limit: int) -> tuple[Any, ...]:
    members = expect_list(value, path, f"a tuple of {kind.__name__}")
    if len(members) > limit:
        raise SceneGraphError(f"{len(members)} {path}; write at most {limit}", path)
    for i, member in enumerate(members):
        if not isinstance(member, kind):
            raise SceneGraphError(f"expected a {kind.__name__}, got {described(member)}", f"{path}[{i}]")
    return tuple(members)


def _box(value: Any) -> Box:
    numbers = expect_list(value, "box", "[x0, y0, x1, y1]")
    if len(numbers) != 4:
        raise SceneGraphError(f"a box has four numbers, not {len(numbers)}; write [x0, y0, x1, y1]", "box")
    for i, number in enumerate(numbers):
        if not is_number(number):
            raise SceneGraphError(f"expected a number, got {described(number)}; write 0 to 1", f"box[{i}]")
        if not 0 <= number <= 1:  # false for NaN too
            raise SceneGraphError(
                f"{described(number)} is outside of 0 to 1; if these are pixels, divide x by the picture's "
                "width and y by its height",
                f"box[{i}]",
            )
    x0, y0, x1, y1 = (float(number) for number in numbers)
    if x0 >= x1 or y0 >= y1:
        if x1 > 0 and y1 > 0 and x0 + x1 <= 1 and y0 + y1 <= 1:
            raise SceneGraphError("looks like x, y, width, height; write x0, y0, x1, y1", "box")
        raise SceneGraphError("the box is empty or its corners are swapped; write x0 < x1 and y0 < y1", "box")
    if _float32(x0) == _float32(x1) or _float32(y0) == _float32(y1):
        raise SceneGraphError("the box is too thin for 32-bit numbers; make it wider and higher", "box")
    return x0, y0, x1, y1


def _float32(number: float) -> float:
    return struct.unpack("f", struct.pack("f", number))[0]
