"""Readers of the scene-graph records that others publish: each takes one record and leaves it as it was.

Sources: sg2im (Johnson et al. 2018) `scene_graphs/*.json`; Visual Genome (Krishna et al. 2017)
`scene_graphs.json` and `relationships.json`; LAION-SG (Li et al. 2024); networkx `node_link_data`. Keys that
a reader does not need are ignored: these records carry ids, synsets and captions.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from .scene_graph import Box, Relation, SceneGraph, SceneGraphError, SceneObject
from .scene_graph_error import described, expect_key, expect_list, expect_mapping, is_integer, is_number, located

SG2IM_IMAGE = "__image__"  # sg2im's object for the whole picture …
SG2IM_IN_IMAGE = "__in_image__"  # … and the edge that ties every object to it: a training device, not content
MAX_PIXELS = 1_000_000  # of a coordinate or an image side

Record = Mapping[str, Any]
Positions = dict[int | str, int]  # a record's own object id → position in SceneGraph.objects


def read_record(record: Record) -> SceneGraph:
    """Read one record of any supported format, told apart by its keys.

    Raises `SceneGraphError` with the JSON path of the fault.
    """
    if "nodes" in record:
        return read_node_link(record)
    if "items" in record:
        return read_laion_sg(record)
    if "relations" in record:
        return SceneGraph.from_dict(record)
    objects = record.get("objects")
    first = objects[0] if isinstance(objects, list | tuple) and objects else None
    if isinstance(first, str):
        return read_sg2im(record)
    if "relationships" in record or (isinstance(first, Mapping) and "object_id" in first):
        return read_visual_genome(record)
    if "objects" in record:
        return SceneGraph.from_dict(record)
    raise SceneGraphError('no scene graph in this JSON object; write {"objects": [{"name": "dog"}], "relations": []}')


def read_sg2im(record: Record) -> SceneGraph:
    """`{"objects": ["sky", "grass"], "relationships": [[0, "above", 1]]}`; drops `__image__` and
    `__in_image__`.

    A name stays whole ("teddy bear"): sg2im knows no attributes.
    """
    names = expect_list(expect_key(record, "objects", '["sky"]'), "objects", '["sky", "grass"]')
    objects: list[SceneObject] = []
    kept: dict[int, int] = {}
    for i, name in enumerate(names):
        if name != SG2IM_IMAGE:
            kept[i] = len(objects)
            with located(f"objects[{i}]"):
                objects.append(_foreign_object(name, "", {}, None))
    triples = expect_list(record.get("relationships", ()), "relationships", '[[0, "above", 1]]')
    relations = []
    for i, triple in enumerate(triples):
        path = f"relationships[{i}]"
        if len(expect_list(triple, path, '[0, "above", 1]')) != 3:
            raise SceneGraphError(f'expected three values, got {len(triple)}; write [0, "above", 1]', path)
        if triple[1] != SG2IM_IN_IMAGE:
            relations.append(_sg2im_relation(triple, len(names), kept, path))
    return SceneGraph(tuple(objects), tuple(relations))


def _sg2im_relation(triple: Sequence[Any], count: int, kept: dict[int, int], path: str) -> Relation:
    subject, predicate, object_ = triple
    for place, position in ((0, subject), (2, object_)):
        if not is_integer(position) or not 0 <= position < count:
            raise SceneGraphError(
                f"there is no object {described(position)}; write a position from 0 to {count - 1}",
                f"{path}[{place}]",
            )
        if position not in kept:
            raise SceneGraphError(
                f"only {SG2IM_IN_IMAGE} may join an object to {SG2IM_IMAGE}; remove this relationship", path
            )
    with located(path):
        return Relation(kept[subject], predicate, kept[object_])


def read_laion_sg(record: Record) -> SceneGraph:
    """`items` with `item_id`, `label`, `attributes`, and `relations` with `item1`, `relation`, `item2`; no
    boxes.
    """
    items = expect_list(record["items"], "items", '[{"item_id": 0, "label": "dog"}]')
    objects: list[SceneObject] = []
    positions: Positions = {}
    for i, item in enumerate(items):
        path = f"items[{i}]"
        expect_mapping(item, path, '{"item_id": 0, "label": "dog"}')
        with located(path):
            _add_position(positions, expect_key(item, "item_id", "0"), "item_id")
            objects.append(_foreign_object(expect_key(item, "label", '"dog"'), "label", item, None))
    example = '{"item1": 0, "relation": "on", "item2": 1}'
    relations = []
    for i, edge in enumerate(expect_list(record.get("relations", ()), "relations", f"[{example}]")):
        expect_mapping(edge, f"relations[{i}]", example)
        relations.append(_foreign_relation(edge, ("item1", "relation", "item2"), positions, f"relations[{i}]"))
    return SceneGraph(tuple(objects), tuple(relations))


def read_node_link(record: Record) -> SceneGraph:
    """networkx node-link JSON, edges under `links` or `edges`.

    Nodes have `name` (a node whose id is text needs none), `attributes`, `box`; edges have `predicate`.
    Integer edge keys give the order of the relations, because networkx itself lists edges node by node.
    """
    if record.get("directed") is False:
        raise SceneGraphError("relations have a direction; write true (a DiGraph or MultiDiGraph)", "directed")
    objects: list[SceneObject] = []
    positions: Positions = {}
    for i, node in enumerate(expect_list(record["nodes"], "nodes", '[{"id": 0, "name": "dog"}]')):
        path = f"nodes[{i}]"
        expect_mapping(node, path, '{"id": 0, "name": "dog"}')
        with located(path):
            node_id = expect_key(node, "id", "0")
            _add_position(positions, node_id, "id")
            name = node_id if "name" not in node and isinstance(node_id, str) else expect_key(node, "name", '"dog"')
            objects.append(_foreign_object(name, "name", node, node.get("box")))
    edges_key = "links" if "links" in record else "edges"
    example = '{"source": 0, "target": 1, "predicate": "on"}'
    relations: list[tuple[Any, Relation]] = []
    for i, edge in enumerate(expect_list(record.get(edges_key, ()), edges_key, f"[{example}]")):
        path = f"{edges_key}[{i}]"
        expect_mapping(edge, path, example)
        relation = _foreign_relation(edge, ("source", "predicate", "target"), positions, path)
        relations.append((edge.get("key"), relation))
    if all(is_integer(key) for key, _ in relations):
        relations.sort(key=lambda pair: pair[0])
    return SceneGraph(tuple(objects), tuple(relation for _, relation in relations))


def read_visual_genome(record: Record) -> SceneGraph:
    """A Visual Genome record: `objects` and `relationships`, or `relationships` that hold their objects.

    An object's first name counts. Boxes (x, y, w, h in pixels) become (x0, y0, x1, y1) in [0, 1] where the
    record has the picture's `width` and `height` (from `image_data.json`), clipped to the picture because
    annotators drew past its edge; without a size they are dropped.
    """
    size = _image_size(record)
    objects: list[SceneObject] = []
    positions: Positions = {}
    for i, item in enumerate(expect_list(record.get("objects", ()), "objects", '[{"object_id": 1, "names": ["dog"]}]')):
        with located(f"objects[{i}]"):
            _add_position(positions, _vg_id(item), "object_id")
            objects.append(_vg_object(item, size))
    example = '{"subject_id": 1, "predicate": "on", "object_id": 2}'
    relations = []
    for i, edge in enumerate(expect_list(record.get("relationships", ()), "relationships", f"[{example}]")):
        path = f"relationships[{i}]"
        expect_mapping(edge, path, example)
        with located(path):
            ends = {f"{end}_id": _vg_end(edge, end, objects, positions, size) for end in ("subject", "object")}
        relations.append(_foreign_relation({**edge, **ends}, ("subject_id", "predicate", "object_id"), positions, path))
    return SceneGraph(tuple(objects), tuple(relations))


def _vg_id(item: Any) -> Any:
    return expect_key(expect_mapping(item, "", '{"object_id": 1, "names": ["dog"]}'), "object_id", "1")


def _vg_end(edge: Record, end: str, objects: list[SceneObject], positions: Positions, size: Any) -> Any:
    """The object id of one end of a relationship; an object that is written inside the relationship is added
    once.
    """
    if end not in edge:
        return expect_key(edge, f"{end}_id", "1")
    with located(end):
        object_id = _vg_id(edge[end])
        if not _is_known(object_id, positions):
            _add_position(positions, object_id, "object_id")
            objects.append(_vg_object(edge[end], size))
    return object_id


def _vg_object(item: Record, size: tuple[float, float] | None) -> SceneObject:
    if "names" in item:
        names = expect_list(item["names"], "names", '["dog"]')
        if not names:
            raise SceneGraphError('the list is empty; write ["dog"]', "names")
        name, key = names[0], "names[0]"
    else:
        name, key = expect_key(item, "name", '"dog"'), "name"
    if size is None or not any(side in item for side in ("x", "y", "w", "h")):
        return _foreign_object(name, key, item, None)
    return _foreign_object(name, key, item, _vg_box(item, *size))


def _vg_box(item: Record, width: float, height: float) -> Box:
    x, y, w, h = (_pixels(expect_key(item, side, "10"), side) for side in ("x", "y", "w", "h"))
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x0 >= x1 or y0 >= y1:
        raise SceneGraphError(
            f"the box has no area inside the picture of {width:g} x {height:g} pixels; remove it", "x"
        )
    return x0 / width, y0 / height, x1 / width, y1 / height


def _image_size(record: Record) -> tuple[float, float] | None:
    if record.get("width") is None or record.get("height") is None:
        return None
    width, height = _pixels(record["width"], "width"), _pixels(record["height"], "height")
    for side, pixels in (("width", width), ("height", height)):
        if pixels < 1:
            raise SceneGraphError(f"{pixels:g} is no size of a picture; write its pixels", side)
    return width, height


def _pixels(value: Any, path: str) -> float:
    if not is_number(value) or not -MAX_PIXELS <= value <= MAX_PIXELS:  # false for NaN too
        raise SceneGraphError(f"expected pixels, got {described(value)}; write a number up to {MAX_PIXELS}", path)
    return float(value)


def _is_known(object_id: Any, positions: Positions) -> bool:
    return (is_integer(object_id) or isinstance(object_id, str)) and object_id in positions


def _add_position(positions: Positions, object_id: Any, path: str) -> None:
    if not is_integer(object_id) and not isinstance(object_id, str):
        raise SceneGraphError(f"expected a number or text, got {described(object_id)}; write 0", path)
    if object_id in positions:
        raise SceneGraphError(f"{described(object_id)} occurs twice; give every object its own", path)
    positions[object_id] = len(positions)


def _foreign_object(name: Any, name_path: str, record: Record, box: Any) -> SceneObject:
    """An object whose name stands at `name_path` of `record`; `attributes` may be null, as in Visual
    Genome.
    """
    attributes = record.get("attributes")
    try:
        return SceneObject(name, () if attributes is None else attributes, box)
    except SceneGraphError as error:
        raise SceneGraphError(error.message, name_path if error.path == "name" else error.path) from None


def _foreign_relation(edge: Record, keys: tuple[str, str, str], positions: Positions, path: str) -> Relation:
    """A relation whose subject id, predicate and object id stand under `keys`."""
    with located(path):
        subject, predicate, object_ = (expect_key(edge, key, "…") for key in keys)
        for key, object_id in ((keys[0], subject), (keys[2], object_)):
            if not _is_known(object_id, positions):
                raise SceneGraphError(f"no object has the id {described(object_id)}; write the id of one", key)
        try:
            return Relation(positions[subject], predicate, positions[object_])
        except SceneGraphError as error:
            theirs = {"subject": keys[0], "predicate": keys[1], "object": keys[2]}[error.path]
            raise SceneGraphError(error.message, theirs) from None
