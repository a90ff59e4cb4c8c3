"""Which format a parsed JSON value is in: one record is told by its keys, a file of several by what it holds.

Canonical JSON is read strictly. Everything else is foreign: bad rows are left out and counted, keys that nothing is
known of are errors, and what fits no format is refused with the formats that were tried.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .beside import Beside
from .image_records import (
    VocabularyMissing,
    read_adjacency,
    read_gqa,
    read_nsr1k,
    read_scan,
    read_vg150,
    read_vrd,
)
from .left_out import LeftOut
from .listed_records import Record, read_listed
from .named_triples import is_triple_row, read_triples
from .record_keys import (
    ATTRIBUTES,
    BOX,
    ID,
    LAION_SG,
    NAME,
    NODE_LINK,
    OBJECT,
    OBJECT_LISTS,
    PARSER,
    PLACES,
    PREDICATE,
    RELATION_LISTS,
    SG2IM,
    SUBJECT,
    VISUAL_GENOME,
    Keys,
    only_list,
)
from .scene_graph import SceneGraph, SceneGraphError
from .scene_graph_error import described, expect_list

GRAPH_EXAMPLE = '{"objects": [{"name": "dog"}], "relations": []}'
FORMATS = (
    "canonical JSON, sg2im, Visual Genome, GQA, LAION-SG, node-link, adjacency data, SceneGraphParser, triples, VRD, "
    "VG-150, NSR-1K, 3DSSG"
)
WRAPPERS = ("scene_graph", "scenegraph", "scene_graphs", "scenegraphs", "graphs", "scans")
WRAPPED_METADATA = ("id", "image_id", "caption", "text", "sentence", "prompt", "url")
ENDS = ("subject", "object")
_LISTS = (*OBJECT_LISTS, *RELATION_LISTS, "attributes", "adjacency")
FOREIGN_OBJECT = ({*ID, *NAME, *BOX, *ATTRIBUTES}) - {"name", "attributes", "box"}
FOREIGN_RELATION = {*SUBJECT, *PREDICATE, *OBJECT} - {"subject", "predicate", "object"}


class EmptyRecord(SceneGraphError):
    """A record that holds no graph, in a file where others may."""


def read_records(value: Any, beside: Beside, left_out: LeftOut) -> list[SceneGraph]:
    """Every graph in a parsed JSON value, in order. Raises `SceneGraphError` with the JSON path of the fault."""
    if isinstance(value, Mapping):
        return _read_mapping(value, beside, left_out)
    if not isinstance(value, list | tuple):
        raise SceneGraphError(f"expected text, a JSON object or a list, got {described(value)}; write {GRAPH_EXAMPLE}")
    if _is_vg150(value):
        return [read_vg150(value, beside, left_out)]
    if value and all(map(is_triple_row, value)):
        return [read_triples(value, "", left_out)]
    return _read_all(((f"[{i}]", None, item) for i, item in enumerate(value)), beside, left_out)


def read_node_link(record: Record) -> SceneGraph:
    """networkx node-link JSON; a row that would have to be left out is an error."""
    left_out = LeftOut()
    graph = read_listed(record, NODE_LINK, Beside(), left_out)
    for warning in left_out.warnings():
        raise SceneGraphError(warning)
    return graph


# Files of several


def _read_all(items: Iterator[tuple[str, Any, Any]], beside: Beside, left_out: LeftOut) -> list[SceneGraph]:
    """The graphs of all items (path, picture, value); an item without a single object is left out and counted."""
    graphs: list[SceneGraph] = []
    empty: list[tuple[str, SceneGraphError]] = []
    for path, picture, item in items:
        try:
            with left_out.within(path):
                graphs += _read_item(item, picture, beside, left_out)
        except VocabularyMissing:
            raise
        except SceneGraphError as error:
            if not (item is None or _is_without_objects(error)):
                raise
            empty.append((path, error))
    if empty and not graphs:
        raise empty[0][1]
    for path, _ in empty:
        left_out.note("graph", "no object in it", path)
    return graphs


def _is_without_objects(error: SceneGraphError) -> bool:
    return isinstance(error, EmptyRecord) or error.message.startswith("a scene graph has at least one object")


def _read_item(item: Any, picture: Any, beside: Beside, left_out: LeftOut) -> list[SceneGraph]:
    if item is None:
        raise EmptyRecord("null is no scene graph")
    if isinstance(item, Mapping):
        return _read_mapping(item, beside, left_out, picture)
    if isinstance(item, list | tuple) and picture is not None:
        return [read_vrd(item, picture, beside, left_out)]
    if isinstance(item, list | tuple):
        return read_records(item, beside, left_out)
    raise SceneGraphError(f"expected a JSON object, got {described(item)}; write {GRAPH_EXAMPLE}")


def _read_mapping(record: Record, beside: Beside, left_out: LeftOut, picture: Any = None) -> list[SceneGraph]:
    """The graph of a record, or the graphs of a file that is one object."""
    _refuse_others(record)
    wrapper = next((key for key in WRAPPERS if isinstance(record.get(key), Mapping | list | tuple)), None)
    if wrapper and set(record) <= {wrapper, *WRAPPED_METADATA}:
        with left_out.within(wrapper):
            return read_records(record[wrapper], beside, left_out)
    if _is_by_picture(record):
        items = ((f'["{key}"]', key, value) for key, value in record.items())
        return _read_all(items, beside, left_out)
    return [_read_one(record, beside, left_out, picture)]


def _is_by_picture(record: Record) -> bool:
    """Whether the values are graphs, or VRD's lists of relations, by picture."""
    if not record or any(key in record for key in _LISTS):
        return False
    graphs = all(isinstance(v, Mapping) and any(key in v for key in _LISTS) for v in record.values())
    rows = [row for value in record.values() if isinstance(value, list) for row in value]
    return graphs or (bool(rows) and all(map(_is_vrd_row, rows)) and all(isinstance(v, list) for v in record.values()))


def _is_vrd_row(row: Any) -> bool:
    return isinstance(row, Mapping) and isinstance(row.get("subject"), Mapping) and "bbox" in row["subject"]


def _is_vg150(value: Any) -> bool:
    return len(value) == 2 and isinstance(value[0], str) and isinstance(value[1], Mapping) and "objs" in value[1]


def _refuse_others(record: Record) -> None:
    """Raises `SceneGraphError` for files that are known and are not the graph of a picture."""
    if "frames" in record and "relations" in record:
        raise SceneGraphError(
            "this is an egocentric scene graph over the frames of a video, whose relations point at frames and "
            f"actions; write the graph of one picture: {GRAPH_EXAMPLE}"
        )
    if "regions" in record and not any(key in record for key in _LISTS):
        raise SceneGraphError("these are Visual Genome's region descriptions: sentences, and no graph", "regions")
    if {"width", "height", "image_id"} <= set(record) and not any(key in record for key in _LISTS):
        raise SceneGraphError("this is Visual Genome's image_data.json: sizes of pictures; put it beside the graphs")


# One record


def _read_one(record: Record, beside: Beside, left_out: LeftOut, picture: Any) -> SceneGraph:
    if _is_canonical(record):
        return SceneGraph.from_dict(record)
    for is_format, read in _OWN_SHAPES:
        if is_format(record):
            return read(record, beside, left_out, picture)
    if only_list(record, OBJECT_LISTS) is None and _relations_are_triples(record):
        key = str(only_list(record, RELATION_LISTS))
        return read_triples(expect_list(record[key], key, '[["dog", "on", "cat"]]'), key, left_out)
    keys = _listed_format(record)
    if keys is None:
        shown = ", ".join(str(key) for key in list(record)[:6]) or "none"
        raise SceneGraphError(
            f"no scene graph in this JSON object: its keys ({shown[:200]}) fit none of the formats that were tried "
            f"({FORMATS}); write {GRAPH_EXAMPLE}"
        )
    return read_listed(record, keys, beside, left_out, picture)


_OWN_SHAPES: tuple[tuple[Callable[[Record], bool], Callable[..., SceneGraph]], ...] = (
    (lambda r: "adjacency" in r, lambda r, beside, left_out, _: read_adjacency(r, beside, left_out)),
    (lambda r: _holds(r, "objects", Mapping), read_gqa),
    (lambda r: _holds(r, "objects", str), lambda r, beside, left_out, _: read_scan(r, beside, left_out)),
    (lambda r: "object_list" in r or {"obj1", "obj2"} <= set(r), lambda r, _, left_out, __: read_nsr1k(r, left_out)),
)


def _holds(record: Record, key: str, kind: type) -> bool:
    value = record.get(key)
    return isinstance(value, Mapping) and bool(value) and all(isinstance(item, kind) for item in value.values())


def _listed_format(record: Record) -> Keys | None:
    """The format of a record of lists; None where it has none of the lists."""
    first = _first(record, only_list(record, OBJECT_LISTS) or "objects")
    edge = _first(record, only_list(record, RELATION_LISTS) or "relations")
    if "entities" in record and isinstance(first, Mapping) and "head" in first:
        return PARSER
    if "items" in record:
        return LAION_SG
    if "nodes" in record or "links" in record:
        return NODE_LINK
    if any(_is_visual_genome(row) for row in (first, edge, _first(record, "attributes"))):
        return VISUAL_GENOME
    if isinstance(first, str) and set(record) <= {"objects", "relationships", *SG2IM.of_record.split()}:
        return SG2IM
    return PLACES if any(key in record for key in (*OBJECT_LISTS, *RELATION_LISTS)) else None


def _is_visual_genome(row: Any) -> bool:
    if not isinstance(row, Mapping):
        return False
    return "object_id" in row or "subject_id" in row or any(isinstance(row.get(end), Mapping) for end in ENDS)


def _relations_are_triples(record: Record) -> bool:
    first = _first(record, only_list(record, RELATION_LISTS) or "")
    return first is not None and is_triple_row(first)


def _first(record: Record, key: str) -> Any:
    rows = record.get(key)
    return rows[0] if isinstance(rows, list | tuple) and rows else None


def _is_canonical(record: Record) -> bool:
    """Whether the record is this project's own JSON, perhaps with a mistake in it."""
    if not isinstance(record.get("objects"), list | tuple) or set(record) - {"objects", "relations"}:
        return False
    item, edge = _first(record, "objects"), _first(record, "relations")
    if isinstance(item, str) or isinstance(edge, list | tuple):
        return False
    if isinstance(edge, Mapping) and (FOREIGN_RELATION & set(edge) or any(isinstance(edge.get(e), str) for e in ENDS)):
        return False
    return not (isinstance(item, Mapping) and FOREIGN_OBJECT & set(item))
