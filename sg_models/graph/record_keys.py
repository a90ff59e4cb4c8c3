"""The keys of foreign records: what each format calls an object's id, a relation's ends and so on.

A reader takes what it needs by role. A key that is neither a role nor known as harmless for the format is an error that
names it, because a part of the graph may stand under it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .foreign_graph import UnknownKeyError
from .scene_graph_error import SceneGraphError, described, expect_key

OBJECT_LISTS = ("objects", "items", "nodes", "entities")
RELATION_LISTS = ("relationships", "relations", "links", "edges", "relationship", "relation", "triples", "triplets")
SUBJECT = ("subject_id", "subject", "source", "item1", "from", "sub", "subj", "head", "src")
OBJECT = ("object_id", "object", "target", "item2", "to", "obj", "tail", "dst")
PREDICATE = ("predicate", "relation", "relationship", "label", "name", "rel", "edge", "type", "pred")
ID = ("object_id", "item_id", "id", "node_id", "entity_id")
NAME = ("names", "name", "label", "class", "category")
ATTRIBUTES = ("attributes", "attribute")
BOX = ("box", "x", "y", "w", "h")


@dataclass(frozen=True)
class Keys:
    """One format: its name, the key that an error asks for in each role, and keys that hold nothing of the graph."""

    format: str
    id: str | None = None  # None: objects go by their place in the list
    name: str = "name"
    subject: str = "subject"
    predicate: str = "predicate"
    object: str = "object"
    of_record: str = ""  # harmless keys, separated by spaces: of the record …
    of_object: str = ""  # … of each object …
    of_relation: str = ""  # … and of each relation


VISUAL_GENOME = Keys(
    "Visual Genome",
    id="object_id",
    subject="subject_id",
    object="object_id",
    of_record="id image_id url image_url image_filename coco_id flickr_id regions width height",
    of_object="synsets merged_object_ids",
    of_relation="relationship_id synsets",
)
SG2IM = Keys("sg2im", of_record="id image_id image_filename url width height")
LAION_SG = Keys(
    "LAION-SG",
    id="item_id",
    name="label",
    subject="item1",
    predicate="relation",
    object="item2",
    of_record="id img_id name url caption caption_ori caption_rewrite width height score",
    of_object="global_item_id",
    of_relation="triple_id global_relation_id",
)
NODE_LINK = Keys(
    "node-link",
    id="id",
    subject="source",
    object="target",
    of_record="directed multigraph graph name id time timestamp image_id width height",
    of_object="pos",
    of_relation="key id weight",
)
PLACES = Keys(
    "objects and relations",
    of_record="id image_id url image_url phrase caption filename width height",
)
GQA = Keys("GQA", id="object", name="name", of_record="id image_id width height location weather")
PARSER = Keys(
    "SceneGraphParser",
    name="head",
    predicate="relation",
    of_record="id image_id caption sentence text",
    of_object="lemma_head lemma_span span_bounds head_bounds",
    of_relation="lemma_relation relation_bounds",
)
SCANS = Keys("3DSSG", of_record="scan split")


def check_keys(record: Mapping[Any, Any], format_name: str, *known: Iterable[str]) -> None:
    """Raises `UnknownKeyError` for the first key that is not among the `known`."""
    allowed = {key for keys in known for key in keys}
    for key in record:
        if key not in allowed:
            raise UnknownKeyError(
                f"the key {described(key)} is not known in a {format_name} graph, so something might be lost; "
                f"remove it, or write one of: {', '.join(sorted(allowed))}"
            )


def take(row: Mapping[str, Any], role: tuple[str, ...], wanted: str) -> Any:
    """The value that `row` has under one of the keys of `role`.

    Raises `SceneGraphError` where there is none, at the key `wanted`, and where two of them say different things.
    """
    key = present(row, role, wanted)
    return expect_key(row, key or wanted, "…")


def present(row: Mapping[str, Any], role: tuple[str, ...], wanted: str) -> str | None:
    """The key of `role` that `row` has, `wanted` before the others; None without one."""
    found = [key for key in (wanted, *role) if key in row]
    for other in found[1:]:
        if _first(row[other]) != _first(row[found[0]]):
            raise SceneGraphError(f"'{found[0]}' and '{other}' say different things; keep one of them", other)
    return found[0] if found else None


def only_list(record: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    """The key among `keys` under which `record` has something; an empty list beside it does not count.

    Raises `SceneGraphError` where two hold something, since they could be two parts of one graph or two graphs.
    """
    there = [key for key in keys if key in record]
    full = [key for key in there if record[key]]
    if len(full) > 1:
        raise SceneGraphError(f"'{full[0]}' and '{full[1]}' both hold something; put it under one of them", full[1])
    return (full or there or [None])[0]


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list | tuple) and value else value
