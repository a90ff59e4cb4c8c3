"""Foreign records that list objects and relations: Visual Genome, sg2im, LAION-SG, networkx node-link, caption parsers
and the many files that differ from these by their keys alone.

Sources: sg2im (Johnson et al. 2018) `scene_graphs/*.json`; Visual Genome (Krishna et al. 2017) `scene_graphs.json`,
`relationships.json`, `attributes.json`; LAION-SG (Li et al. 2024); networkx `node_link_data`; Johnson et al. 2015 for
graphs whose relations count objects by place; SceneGraphParser (github.com/vacancy/SceneGraphParser).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .beside import Beside
from .foreign_graph import ForeignGraph, Size, image_size, side_box
from .left_out import LeftOut
from .record_keys import (
    ATTRIBUTES,
    BOX,
    ID,
    NAME,
    OBJECT,
    OBJECT_LISTS,
    PREDICATE,
    RELATION_LISTS,
    SG2IM,
    SUBJECT,
    Keys,
    check_keys,
    only_list,
    present,
    take,
)
from .scene_graph import Box, SceneGraph, SceneGraphError
from .scene_graph_error import described, expect_key, expect_list, is_integer, located

SG2IM_IMAGE = "__image__"  # sg2im's object for the whole picture …
SG2IM_IN_IMAGE = "__in_image__"  # … and the edge that ties every object to it: a training device, not content
DETERMINER = "det"  # "the", "a", "some": no attribute
ATTRIBUTE_EXAMPLE = '{"object": 0, "attribute": "red"}'

Record = Mapping[str, Any]


def read_listed(record: Record, keys: Keys, beside: Beside, left_out: LeftOut, picture: Any = None) -> SceneGraph:
    """The graph of a record with lists of objects, attributes and relations; `picture` is its id, where that is known
    from elsewhere. Raises `SceneGraphError` for a list that cannot be read at all, and for unknown keys."""
    return _ListedRecord(record, keys, beside, left_out, picture).read()


class _ListedRecord:
    def __init__(self, record: Record, keys: Keys, beside: Beside, left_out: LeftOut, picture: Any):
        check_keys(record, keys.format, OBJECT_LISTS, RELATION_LISTS, ("attributes",), keys.of_record.split())
        self.record, self.keys = record, keys
        self.graph = ForeignGraph(left_out)
        pictures = (picture, *(record.get(key) for key in ("image_id", "img_id", "id", "filename")))
        self.size: Size | None = image_size(record) or beside.size_of(*pictures)
        self.ordered: list[Any] = []  # node-link's edge keys

    def read(self) -> SceneGraph:
        if self.record.get("directed") is False:
            raise SceneGraphError("relations have a direction; write true (a DiGraph or MultiDiGraph)", "directed")
        objects = only_list(self.record, OBJECT_LISTS)
        if objects:
            self.graph.each(self._list(objects), "object", objects, self._object)
        self._attributes()
        relations = only_list(self.record, RELATION_LISTS)
        if relations:
            self.graph.each(self._list(relations), "relation", relations, self._relation)
        if len(self.ordered) == len(self.graph.relations) and all(map(is_integer, self.ordered)):
            pairs = sorted(zip(self.ordered, self.graph.relations, strict=True), key=lambda pair: pair[0])
            self.graph.relations = [relation for _, relation in pairs]
        return self.graph.graph()

    def _list(self, key: str) -> Sequence[Any]:
        return expect_list(self.record[key] or [], key, "[...]")

    # Objects

    def _object(self, row: Any, path: str, place: int) -> None:
        if isinstance(row, str) or row is None:
            if row != SG2IM_IMAGE or self.keys is not SG2IM:
                self.graph.add_object(place, row, (), None, path)
            return
        if not isinstance(row, Mapping):
            raise SceneGraphError(f'expected text or a JSON object, got {described(row)}; write {{"name": "dog"}}')
        check_keys(row, self.keys.format, ID, NAME, ATTRIBUTES, BOX, self.keys.of_object.split(), self._parsed_keys())
        id_key = present(row, ID, self.keys.id or "id")
        object_id = place if self.keys.id is None and id_key is None else take(row, ID, self.keys.id or "id")
        attributes = row.get("attributes", row.get("attribute", ()))
        if "modifiers" in row:
            attributes = _modifiers(row["modifiers"])
        self.graph.add_object(object_id, self._name(row), attributes, self._box(row, path), path)

    def _parsed_keys(self) -> tuple[str, ...]:
        return ("head", "span", "modifiers") if self.keys.name == "head" else ()

    def _name(self, row: Record) -> Any:
        if self.keys.name == "head":
            return expect_key(row, "head", '"dog"')
        key = present(row, NAME, self.keys.name)
        if key is None and isinstance(row.get("id"), str):
            return row["id"]
        name = expect_key(row, key or self.keys.name, '"dog"')
        if isinstance(name, list | tuple):  # Visual Genome's: the first counts
            return name[0] if name else None
        return name

    def _box(self, row: Record, path: str) -> Box | None:
        if row.get("box") is not None:
            return row["box"]
        return side_box(self.graph, row, self.size, path)

    # Attributes that stand in a list of their own

    def _attributes(self) -> None:
        value = self.record.get("attributes")
        if isinstance(value, Mapping):
            value = [{"object": key, "attributes": texts} for key, texts in value.items()]
        rows = expect_list(value or [], "attributes", f"[{ATTRIBUTE_EXAMPLE}]")
        lists = all(row is None or isinstance(row, list | tuple) for row in rows)
        if rows and lists and len(rows) == len(self.graph.objects):
            for position, texts in enumerate(rows):
                self.graph.add_attributes(position, texts, f"attributes[{position}]")
            return
        self.graph.each(rows, "attribute", "attributes", self._attribute)

    def _attribute(self, row: Any, path: str, _: int) -> None:
        if not isinstance(row, Mapping):
            raise SceneGraphError(f"expected a JSON object, got {described(row)}; write {ATTRIBUTE_EXAMPLE}")
        check_keys(row, self.keys.format, OBJECT, ID, NAME, ATTRIBUTES, BOX, self.keys.of_object.split())
        reference = take(row, (*OBJECT, *ID), "object_id")
        position = self.graph.find(reference)
        if position is None and any(key in row for key in NAME):  # Visual Genome's attributes.json: rows are objects
            self._object(row, path, 0)
        elif position is None or position < 0:
            self.graph.left_out.note("attribute", "an object that is not in the graph", path)
        else:
            self.graph.add_attributes(position, take(row, ATTRIBUTES, "attributes") if _has(row) else (), path)

    # Relations

    def _relation(self, row: Any, path: str, _: int) -> None:
        if isinstance(row, list | tuple):
            self._triple(row, path)
            return
        if not isinstance(row, Mapping):
            raise SceneGraphError(f'expected a JSON object or a list, got {described(row)}; write [0, "above", 1]')
        check_keys(row, self.keys.format, SUBJECT, OBJECT, PREDICATE, self.keys.of_relation.split())
        predicate = take(row, PREDICATE, self.keys.predicate)
        subject = self._end(row, "subject", SUBJECT, self.keys.subject, path)
        object_ = self._end(row, "object", OBJECT, self.keys.object, path)
        self._add(subject, predicate, object_, path, row.get("key"))

    def _end(self, row: Record, nested: str, role: tuple[str, ...], wanted: str, path: str) -> int | None:
        """The position of one end of a relation; an object that is written inside of it is added once."""
        inner = row.get(nested)
        if not isinstance(inner, Mapping):
            return self.graph.find(take(row, role, wanted))
        with located(nested):
            object_id = take(inner, ID, "object_id")
            if self.graph.find(object_id) is None:
                self._object(inner, f"{path}.{nested}", 0)
        return self.graph.find(object_id)

    def _triple(self, row: Sequence[Any], path: str) -> None:
        if len(row) == 4 and isinstance(row[3], str) and all(map(is_integer, row[:3])):  # 3DSSG's
            row = (row[0], row[3], row[1])
        elif len(row) == 3 and is_integer(row[0]) and is_integer(row[1]) and isinstance(row[2], str):
            row = (row[0], row[2], row[1])
        if len(row) != 3:
            raise SceneGraphError(f'expected three values, got {len(row)}; write [0, "above", 1]')
        subject, predicate, object_ = row
        if predicate == SG2IM_IN_IMAGE and self.keys is SG2IM:
            return
        self._add(self.graph.find(subject), predicate, self.graph.find(object_), path, None)

    def _add(self, subject: int | None, predicate: Any, object_: int | None, path: str, key: Any) -> None:
        before = len(self.graph.relations)
        self.graph.add_relation(subject, predicate, object_, path)
        if len(self.graph.relations) > before:
            self.ordered.append(key)


def _has(row: Record) -> bool:
    return any(key in row for key in ATTRIBUTES)


def _modifiers(rows: Any) -> list[Any]:
    """The attributes among a parser's modifiers: all but articles and other determiners."""
    rows = expect_list(rows or [], "modifiers", '[{"dep": "amod", "span": "brown"}]')
    return [row for row in rows if not (isinstance(row, Mapping) and row.get("dep") == DETERMINER)]
