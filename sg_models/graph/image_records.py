"""Foreign records that belong to one image of a data set and have a shape of their own: GQA, VRD, VG-150, NSR-1K, 3DSSG
and networkx adjacency data.

Sources: GQA (Hudson and Manning 2019); VRD (Lu et al. 2016); VG-150 (Xu et al. 2017), in the JSON of
interactionwise-vrd; NSR-1K (LayoutGPT, Feng et al. 2023); 3DSSG (Wald et al. 2020).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from .beside import Beside
from .foreign_graph import ForeignGraph, image_size, pixel_box, pixels, side_box
from .left_out import LeftOut
from .listed_records import Record, read_listed
from .record_keys import GQA, NODE_LINK, SCANS, check_keys
from .scene_graph import SceneGraph, SceneGraphError
from .scene_graph_error import described, expect_key, expect_list, expect_mapping, is_integer

# What a bare word means as the predicate of 3DSSG and NSR-1K: a side of the object.
SIDES = {"left": "left of", "right": "right of", "top": "above", "bottom": "below"}


def read_gqa(record: Record, beside: Beside, left_out: LeftOut, picture: Any = None) -> SceneGraph:
    """`objects` by id, each with its box in pixels, attributes, and `relations` to other objects."""
    check_keys(record, "GQA", ("objects",), GQA.of_record.split())
    graph = ForeignGraph(left_out)
    size = image_size(record) or beside.size_of(picture, record.get("image_id"))
    objects = record["objects"]
    for key, row in objects.items():
        path = f'objects["{key}"]'
        with left_out.within(path):
            check_keys(expect_mapping(row, "", '{"name": "dog"}'), "GQA", _GQA_OBJECT)
            box = side_box(graph, row, size, "")
            graph.add_object(key, expect_key(row, "name", '"dog"'), row.get("attributes"), box, "")
    for key, row in objects.items():
        with left_out.within(f'objects["{key}"]'):
            edges = expect_list(row.get("relations") or [], "relations", '[{"object": "1", "name": "on"}]')
            graph.each(edges, "relation", "relations", lambda edge, path, _, key=key: _gqa_edge(graph, key, edge, path))
    return graph.graph()


_GQA_OBJECT = ("name", "x", "y", "w", "h", "attributes", "relations")


def _gqa_edge(graph: ForeignGraph, subject: str, edge: Any, path: str) -> None:
    check_keys(expect_mapping(edge, "", '{"object": "1", "name": "on"}'), "GQA", ("object", "name"))
    object_ = graph.find(expect_key(edge, "object", '"1"'))
    graph.add_relation(graph.find(subject), expect_key(edge, "name", '"on"'), object_, path)


def read_scan(record: Record, beside: Beside, left_out: LeftOut) -> SceneGraph:
    """3DSSG: `objects` are names by id, `relationships` are [subject, object, number, predicate]."""
    objects = [{"id": key, "name": name} for key, name in record["objects"].items()]
    graph = read_listed({**record, "objects": objects}, SCANS, beside, left_out)
    return _with_sides(graph)


def read_vrd(rows: Sequence[Any], picture: str, beside: Beside, left_out: LeftOut) -> SceneGraph:
    """VRD's relations of one image; an object is a category at a box, [ymin, ymax, xmin, xmax] in pixels."""
    graph = ForeignGraph(left_out)
    size = beside.size_of(picture)

    def end(value: Any) -> int | None:
        thing = expect_mapping(value, "", '{"category": 0, "bbox": [0, 1, 0, 1]}')
        check_keys(thing, "VRD", ("category", "bbox"))
        name, box = thing.get("category"), _four(thing.get("bbox"), "[ymin, ymax, xmin, xmax]")
        key = f"{name} {box}"
        if graph.find(key) is None:
            y0, y1, x0, x1 = box
            text = _class_name(name, beside.object_names, "VRD", "objects")
            graph.add_object(key, text, (), pixel_box(graph, (x0, y0, x1, y1), size, ""), "")
        return graph.find(key)

    def row(value: Any, path: str, _: int) -> None:
        check_keys(expect_mapping(value, "", "…"), "VRD", ("subject", "predicate", "object"))
        subject, object_ = end(value.get("subject")), end(value.get("object"))
        predicate = _class_name(value.get("predicate"), beside.predicate_names, "VRD", "predicates")
        graph.add_relation(subject, predicate, object_, path)

    graph.each(rows, "relation", "", row)
    return graph.graph()


def read_vg150(pair: Sequence[Any], beside: Beside, left_out: LeftOut) -> SceneGraph:
    """VG-150: [image path, {"objs": [{"cls", "bbox"}], "rels": [{"sub", "obj", "pred"}]}], bbox [x0, y0, x1, y1]."""
    picture, record = pair
    check_keys(record, "VG-150", ("objs", "rels"))
    graph = ForeignGraph(left_out)
    size = beside.size_of(picture)

    def thing(row: Any, path: str, place: int) -> None:
        check_keys(expect_mapping(row, "", '{"cls": 0, "bbox": [0, 0, 1, 1]}'), "VG-150", ("cls", "bbox"))
        name = _class_name(row.get("cls"), beside.object_names, "VG-150", "objects")
        x0, y0, x1, y1 = _four(row.get("bbox"), "[x0, y0, x1, y1]")
        graph.add_object(place, name, (), pixel_box(graph, (x0, y0, x1, y1), size, path), path)

    def relation(row: Any, path: str, _: int) -> None:
        check_keys(expect_mapping(row, "", '{"sub": 0, "obj": 1, "pred": [0]}'), "VG-150", ("sub", "obj", "pred"))
        predicates = row.get("pred")
        for predicate in predicates if isinstance(predicates, list | tuple) else [predicates]:
            name = _class_name(predicate, beside.predicate_names, "VG-150", "predicates")
            graph.add_relation(graph.find(row.get("sub")), name, graph.find(row.get("obj")), path)

    graph.each(expect_list(record.get("objs"), "objs", "[…]"), "object", "objs", thing)
    graph.each(expect_list(record.get("rels") or [], "rels", "[…]"), "relation", "rels", relation)
    return graph.graph()


def _class_name(value: Any, names: Sequence[str], format_name: str, what: str) -> Any:
    """The name of a class number, from the vocabulary beside the file; text is a name already."""
    if not is_integer(value):
        return value
    if not names:
        raise VocabularyMissing(
            f"this is a {format_name} file, whose names are numbers: put the lists of names that came with it "
            f"beside it, as objects.json and predicates.json ({what}.json is missing)"
        )
    if not 0 <= value < len(names):
        raise SceneGraphError(f"class {described(value)} is not in {what}.json, which has {len(names)} names")
    return names[value]


class VocabularyMissing(SceneGraphError):
    """Class numbers without names: about the whole file and not about the row in which it is noticed."""

    def under(self, parent: str) -> "VocabularyMissing":
        return self


def read_nsr1k(record: Record, left_out: LeftOut) -> SceneGraph:
    """NSR-1K: two objects and their relation, or a list of objects; boxes are x, y, width, height in [0, 1]."""
    pairs = [record["obj1"], record["obj2"]] if "obj1" in record else record["object_list"]
    check_keys(record, "NSR-1K", ("obj1", "obj2", "relation", "object_list", "num_object"), _NSR1K_METADATA)
    graph = ForeignGraph(left_out)

    def thing(pair: Any, path: str, place: int) -> None:
        if len(expect_list(pair, "", '["dog", [0, 0, 1, 1]]')) != 2:
            raise SceneGraphError('expected a name and a box; write ["dog", [0, 0, 1, 1]]')
        name, box = pair
        x, y, w, h = _four(box, "[x, y, width, height]")
        graph.add_object(place, name, (), pixel_box(graph, (x, y, x + w, y + h), (1, 1), path), path)

    graph.each(expect_list(pairs, "object_list", "[…]"), "object", "objects", thing)
    if "relation" in record:
        graph.add_relation(graph.find(0), record["relation"], graph.find(1), "relation")
    return _with_sides(graph.graph())


_NSR1K_METADATA = ("id", "image_id", "prompt", "type", "sub-type")


def _with_sides(graph: SceneGraph) -> SceneGraph:
    relations = (replace(r, predicate=SIDES.get(r.predicate, r.predicate)) for r in graph.relations)
    return SceneGraph(graph.objects, tuple(relations))


def read_adjacency(record: Record, beside: Beside, left_out: LeftOut) -> SceneGraph:
    """networkx `adjacency_data`: `adjacency` has, for every node, the nodes that its edges go to, with their data."""
    nodes = expect_list(record.get("nodes"), "nodes", '[{"id": 0, "name": "dog"}]')
    lists = expect_list(record["adjacency"], "adjacency", "[[…], …]")
    if len(lists) != len(nodes):
        raise SceneGraphError(f"{len(lists)} lists for {len(nodes)} nodes; write one each", "adjacency")
    edges = []
    for i, (node, ways) in enumerate(zip(nodes, lists, strict=True)):
        source = expect_key(expect_mapping(node, f"nodes[{i}]", '{"id": 0}'), "id", "0")
        for way in expect_list(ways, f"adjacency[{i}]", '[{"id": 1, "predicate": "on"}]'):
            data = dict(expect_mapping(way, f"adjacency[{i}]", '{"id": 1, "predicate": "on"}'))
            edges.append({**data, "source": source, "target": data.pop("id", None)})
            edges[-1].pop("id", None)
    rest = {key: value for key, value in record.items() if key != "adjacency"}
    return read_listed({**rest, "edges": edges}, NODE_LINK, beside, left_out)


def _four(value: Any, example: str) -> Sequence[float]:
    numbers = expect_list(value, "bbox", example)
    if len(numbers) != 4:
        raise SceneGraphError(f"expected four numbers, got {len(numbers)}; write {example}", "bbox")
    return [pixels(number, f"bbox[{i}]") for i, number in enumerate(numbers)]
