"""Every format in; the line syntax, networkx and PyTorch Geometric out; only `SceneGraphError` for junk."""

import json
import subprocess
import sys
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

from sg_models.graph.formats import (
    format_lines,
    from_networkx,
    from_pyg,
    parse_scene_graph,
    parse_scene_graphs,
    read_scene_graphs,
    to_networkx,
    to_pyg,
)
from sg_models.graph.scene_graph import (
    MAX_OBJECTS,
    MAX_RELATIONS,
    MAX_TEXT_CHARS,
    Relation,
    SceneGraph,
    SceneGraphError,
    SceneObject,
)

# No deadline: a busy machine is no fault of the code.
THOROUGH = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

SKY_GRASS_ZEBRA = SceneGraph(
    (SceneObject("sky"), SceneObject("grass"), SceneObject("zebra")),
    (Relation(0, "above", 1), Relation(2, "standing on", 1)),
)
SG2IM = {"objects": ["sky", "grass", "zebra"], "relationships": [[0, "above", 1], [2, "standing on", 1]]}
SG2IM_WITH_IMAGE = {
    "objects": ["sky", "__image__", "grass", "zebra"],
    "relationships": [[0, "above", 2], [3, "standing on", 2], [0, "__in_image__", 1], [2, "__in_image__", 1]],
}
VISUAL_GENOME = {
    "image_id": 1,
    "width": 800,
    "height": 600,
    "objects": [
        {"object_id": 58, "names": ["dog", "hound"], "x": 80, "y": 60, "w": 160, "h": 300,
         "attributes": ["brown"], "synsets": ["dog.n.01"]},
        {"object_id": 7, "name": "street", "x": -8, "y": 300, "w": 900, "h": 300, "attributes": None},
    ],
    "relationships": [{"relationship_id": 3, "subject_id": 58, "predicate": "on", "object_id": 7}],
}  # fmt: skip
VISUAL_GENOME_NESTED = {
    "image_id": 1,
    "relationships": [
        {
            "relationship_id": 3,
            "predicate": "on",
            "subject": {"object_id": 58, "name": "dog", "x": 80, "y": 60, "w": 160, "h": 300},
            "object": {"object_id": 7, "names": ["street"], "x": 0, "y": 300, "w": 800, "h": 300},
        },
        {
            "relationship_id": 4,
            "predicate": "near",
            "subject": {"object_id": 9, "name": "man"},
            "object": {"object_id": 58, "name": "dog"},
        },
    ],
}
LAION_SG = {
    "img_id": "482027",
    "name": "482027.jpg",
    "caption_ori": "a dog",
    "items": [
        {"item_id": 0, "label": "dog", "attributes": ["brown", "wet"], "global_item_id": 9},
        {"item_id": 5, "label": "motorcycle", "attributes": [], "global_item_id": 10},
    ],
    "relations": [{"triple_id": 0, "item1": 0, "relation": "on", "item2": 5}],
}
CANONICAL = {
    "objects": [
        {"name": "dog", "attributes": ["brown"], "box": [0.1, 0.4, 0.6, 0.9]},
        {"name": "motorcycle"},
    ],
    "relations": [{"subject": 0, "predicate": "on", "object": 1}],
}
NODE_LINK = {
    "directed": True,
    "multigraph": True,
    "nodes": [{"id": "dog", "attributes": ["brown"]}, {"id": 4, "name": "street", "box": [0, 0.5, 1, 1]}],
    "links": [{"source": "dog", "target": 4, "predicate": "on", "key": 0}],
}
RECORDS = [SG2IM, SG2IM_WITH_IMAGE, VISUAL_GENOME, VISUAL_GENOME_NESTED, LAION_SG, CANONICAL, NODE_LINK]

# Words with the characters to which some format gives a meaning.
WORDS = st.text(st.sampled_from("ab1é犬#@|{[]\"\\:,-'_\ufeff"), min_size=1, max_size=5)
# Words that are one object in several spellings, names of several words, and words with a meaning of their own.
LIKELY_WORDS = st.sampled_from(
    "dog Dog DOG dogs fire hydrant Fire the a is are and of on red e\u0301 é 2 dog#2 # |".split()
)
EDGES = st.integers(0, 10_000).map(lambda i: i / 10_000)
BOXES = st.tuples(EDGES, EDGES, EDGES, EDGES).filter(lambda box: box[0] < box[2] and box[1] < box[3])
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


@st.composite
def scene_graphs(draw: st.DrawFn, words: st.SearchStrategy[str] = WORDS, max_words: int = 2) -> SceneGraph:
    texts = st.lists(words, min_size=1, max_size=max_words).map(" ".join)
    objects = st.builds(SceneObject, texts, st.lists(texts, max_size=2).map(tuple), st.none() | BOXES)
    members = draw(st.lists(objects, min_size=1, max_size=5))
    if len(members) == 1:
        return SceneGraph(tuple(members))
    ends = st.tuples(st.integers(0, len(members) - 1), st.integers(0, len(members) - 1)).filter(lambda e: e[0] != e[1])
    edges = draw(st.lists(st.tuples(ends, words), max_size=6))
    return SceneGraph(tuple(members), tuple(Relation(s, predicate, o) for (s, o), predicate in edges))


# Reading


def test_importing_the_formats_does_not_import_torch() -> None:
    code = "import sys, sg_models.graph.formats, sg_models.drawing.graph_drawing; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("record", [SG2IM, SG2IM_WITH_IMAGE])
def test_sg2im(record: dict[str, Any]) -> None:
    assert parse_scene_graph(record) == SKY_GRASS_ZEBRA
    assert parse_scene_graph(json.dumps(record)) == SKY_GRASS_ZEBRA
    assert parse_scene_graph(json.dumps([record])) == SKY_GRASS_ZEBRA


def test_sg2im_names_stay_whole() -> None:
    assert parse_scene_graph({"objects": ["teddy bear"]}).objects == (SceneObject("teddy bear"),)


def test_lists_of_graphs() -> None:
    text = json.dumps([SG2IM, CANONICAL])
    assert parse_scene_graphs(text) == [SKY_GRASS_ZEBRA, SceneGraph.from_dict(CANONICAL)]
    assert parse_scene_graphs("dog | on | cat") == [parse_scene_graph("dog | on | cat")]
    assert parse_scene_graphs("[]") == []
    with pytest.raises(SceneGraphError, match="the list holds 2 scene graphs; pass one of them"):
        parse_scene_graph(text)
    reading = read_scene_graphs([SG2IM, {"objects": [""]}])
    assert reading.graphs == (SKY_GRASS_ZEBRA,)
    assert reading.warnings == (
        "left out 1 object: an empty name (at [1].objects[0])",
        "left out 1 graph: no object in it (at [1])",
    )


def test_visual_genome_boxes_become_xyxy_in_unit_range() -> None:
    graph = parse_scene_graph(VISUAL_GENOME)
    assert graph == SceneGraph(
        (
            SceneObject("dog", ("brown",), (0.1, 0.1, 0.3, 0.6)),
            SceneObject("street", (), (0.0, 0.5, 1.0, 1.0)),
        ),
        (Relation(0, "on", 1),),
    )


def test_visual_genome_without_a_size_has_no_boxes() -> None:
    graph = parse_scene_graph({key: value for key, value in VISUAL_GENOME.items() if key != "width"})
    assert [item.box for item in graph.objects] == [None, None]


def test_visual_genome_with_objects_inside_relationships() -> None:
    graph = parse_scene_graph(VISUAL_GENOME_NESTED)
    assert graph.objects == (SceneObject("dog"), SceneObject("street"), SceneObject("man"))
    assert graph.relations == (Relation(0, "on", 1), Relation(2, "near", 0))
    sized = parse_scene_graph({**VISUAL_GENOME_NESTED, "width": 800, "height": 600})
    assert [item.box for item in sized.objects] == [(0.1, 0.1, 0.3, 0.6), (0, 0.5, 1, 1), None]


def test_laion_sg() -> None:
    assert parse_scene_graph(LAION_SG) == SceneGraph(
        (SceneObject("dog", ("brown", "wet")), SceneObject("motorcycle")), (Relation(0, "on", 1),)
    )


@pytest.mark.parametrize("key", ["links", "edges"])
def test_node_link(key: str) -> None:
    record = {**{k: v for k, v in NODE_LINK.items() if k != "links"}, key: NODE_LINK["links"]}
    assert parse_scene_graph(record) == SceneGraph(
        (SceneObject("dog", ("brown",)), SceneObject("street", (), (0, 0.5, 1, 1))), (Relation(0, "on", 1),)
    )


def test_line_syntax() -> None:
    graph = parse_scene_graph(
        "\ufeff# a comment\n\nsmall  red circle @ 0.1 0.4 0.6 0.9 | left of | blue square\r\n"
        "small red circle#2 | above | small red circle\ntree\nsmall red circle #1 | near | tree\n"
        "tree @ 0.5, 0.5, 1, 1\n#\n"
    )
    assert graph.objects == (
        SceneObject("circle", ("small", "red"), (0.1, 0.4, 0.6, 0.9)),
        SceneObject("square", ("blue",)),
        SceneObject("circle", ("small", "red")),
        SceneObject("tree", (), (0.5, 0.5, 1, 1)),
    )
    assert graph.relations == (Relation(0, "left of", 1), Relation(2, "above", 0), Relation(0, "near", 3))


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: next(iter(record)))
def test_reading_leaves_its_input_alone(record: dict[str, Any]) -> None:
    before = deepcopy(record)
    parse_scene_graph(record)
    parse_scene_graphs([record, record])
    assert record == before


# Round trips


@THOROUGH
@given(scene_graphs())
def test_json_round_trip(graph: SceneGraph) -> None:
    assert parse_scene_graph(graph.to_json()) == graph
    assert parse_scene_graph(graph.to_dict()) == graph


@settings(THOROUGH, max_examples=200)
@given(scene_graphs() | scene_graphs(LIKELY_WORDS, max_words=3))
def test_line_round_trip(graph: SceneGraph) -> None:
    assert parse_scene_graph(format_lines(graph)) == graph


@THOROUGH
@given(scene_graphs())
def test_networkx_round_trip(graph: SceneGraph) -> None:
    network = to_networkx(graph)
    before = nx.node_link_data(network, edges="edges")
    assert from_networkx(network) == graph
    assert nx.node_link_data(network, edges="edges") == before
    for key in ("links", "edges"):
        assert parse_scene_graph(json.dumps(nx.node_link_data(network, edges=key))) == graph


@THOROUGH
@given(scene_graphs())
def test_pyg_round_trip(graph: SceneGraph) -> None:
    data = to_pyg(graph)
    before = deepcopy(data)
    back = from_pyg(data)
    assert back.relations == graph.relations
    for ours, theirs in zip(graph.objects, back.objects, strict=True):
        assert (ours.name, ours.attributes, ours.box is None) == (
            theirs.name,
            theirs.attributes,
            theirs.box is None,
        )
        assert ours.box is None or theirs.box == tuple(float(np.float32(number)) for number in ours.box)
    assert from_pyg(to_pyg(back)) == back
    assert all(torch.equal(data[key], before[key]) for key in ("edge_index", "box", "has_box"))
    assert all(data[key] == before[key] for key in ("names", "attributes", "predicates"))


def test_pyg_fields_and_batches() -> None:
    data: Any = to_pyg(SceneGraph.from_dict(CANONICAL))
    assert data.num_nodes == 2
    assert data.edge_index.tolist() == [[0], [1]] and data.edge_index.dtype == torch.long
    assert data.box.shape == (2, 4) and data.box.dtype == torch.float32 and data.box[1].tolist() == [0, 0, 0, 0]
    assert data.has_box.tolist() == [True, False]
    alone: Any = to_pyg(SceneGraph((SceneObject("dog"),)))
    assert alone.edge_index.shape == (2, 0) and alone.edge_index.dtype == torch.long
    batch: Any = Batch.from_data_list([alone, data, data])
    assert batch.edge_index.tolist() == [[1, 3], [2, 4]]
    assert from_pyg(batch[1]) == from_pyg(data)


def test_networkx_graphs_of_others() -> None:
    network = nx.DiGraph()
    network.add_edge("dog", "street", predicate="on", weight=3)
    assert from_networkx(network) == SceneGraph((SceneObject("dog"), SceneObject("street")), (Relation(0, "on", 1),))


def test_lines_are_compact_and_keep_the_order_of_objects() -> None:
    graph = SceneGraph(
        tuple(SceneObject(name) for name in ("dog", "cat", "dog", "sun")),
        (Relation(0, "near", 1), Relation(3, "above", 2)),
    )
    assert format_lines(graph) == "dog | near | cat\ndog#2\nsun\nsun | above | dog#2"


# Errors


def _without(record: dict[str, Any], *path: Any) -> dict[str, Any]:
    """A copy of `record` without the value at `path`."""
    copy: Any = deepcopy(record)
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    del inner[path[-1]]
    return copy


def _with(record: dict[str, Any], value: Any, *path: Any) -> dict[str, Any]:
    """A copy of `record` with `value` at `path`."""
    copy: Any = deepcopy(record)
    inner = copy
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    return copy


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "^the text holds no object; write a line such as: brown dog | on | motorcycle"),
        ("# only a comment", "^the text holds no object"),
        ("dog\ncat | on", "^line 2: 2 parts between bars; write three"),
        ("a | b | c | d", "^line 1: 4 parts between bars"),
        ("| on | dog", "^line 1: the subject is empty"),
        ("cat | | dog", "^line 1: the predicate is empty"),
        ("cat | on |", "^line 1: the object is empty"),
        ("dog | near | dog#1", "^line 1: .* are the same; write dog#2 for a second dog"),
        ("#dog", "^line 1: the line begins with '#'; write '# ' with a space"),
        ("dog#0", "^line 1: objects are counted from 1"),
        ("@ 0 0 1 1", "^line 1: no object before '@'"),
        ("dog @ 0 0 1", "^line 1: after '@' come four numbers"),
        ("dog @ a b c d", "^line 1: after '@' come four numbers"),
        ("dog @ 0.5 0.5 0.2 0.2", "^line 1: looks like x, y, width, height; write x0, y0, x1, y1"),
        ("dog @ 0 0 nan 1", "^line 1: nan is outside of 0 to 1"),
        ("dog @ 0 0 1 1\ndog @ 0 0 0.5 1", "^line 2: a second, different box for dog"),
        ("\n" + "x" * 201, "^line 2: .*201 characters; write at most 200"),
        ("\n".join(f"o{i}" for i in range(MAX_OBJECTS + 1)), f"^line 257: .*at most {MAX_OBJECTS}"),
        ("a | on | b\n" * (MAX_RELATIONS + 1), f"^line 1025: .*at most {MAX_RELATIONS}"),
        ("x" * (MAX_TEXT_CHARS + 1), f"^the text has 1000001 characters; write at most {MAX_TEXT_CHARS}"),
        ('{"objects": [\n"sky",]}', "^line 2: this is not valid JSON .*or write lines such as"),
        ("[" * 100_000, "^the JSON is nested too deeply"),
        ('{"objects": ' + "9" * 5000 + "}", "^the JSON holds a number with thousands of digits"),
        ("{}", r"^no scene graph in this JSON object: its keys \(none\) fit none of the formats"),
        ("[1]", r"^\[0\]: expected a JSON object, got 1"),
        ("[]", "^the list holds 0 scene graphs"),
    ],
)  # fmt: skip
def test_text_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        parse_scene_graph(text)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"objects": ["__image__"], "relationships": []}, "^objects: a scene graph has at least one object"),
        (_with(VISUAL_GENOME, 0, "width"), "^width: 0 is no size of a picture"),
        (_without(VISUAL_GENOME, "relationships", 0, "subject_id"),
         r"^relationships\[0\].subject_id: is missing"),
        (_without(LAION_SG, "relations", 0, "relation"), r"^relations\[0\].relation: is missing"),
        (_with(NODE_LINK, False, "directed"), "^directed: relations have a direction"),
        (_without(NODE_LINK, "links", 0, "predicate"), r"^links\[0\].predicate: is missing"),
        (_with(CANONICAL, 1, "relations", 0, "subject"),
         r"^relations\[0\].object: the subject and the object are both"),
        (_with(CANONICAL, "", "objects", 1, "name"), r"^objects\[1\].name: the text is empty"),
        (_with(CANONICAL, [0.5, 0.5, 0.2, 0.2], "objects", 0, "box"),
         r"^objects\[0\].box: looks like x, y, width, height"),
        (_with(CANONICAL, "dog", "objects", 0, "nme"), r"^objects\[0\]: unknown key 'nme'; write one of"),
        (5, "^expected text, a JSON object or a list, got 5"),
        (b"dog", "^expected text, a JSON object or a list, got a bytes"),
    ],
)  # fmt: skip
def test_records_that_are_refused(record: Any, message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        parse_scene_graph(record)


@pytest.mark.parametrize(
    ("record", "warning"),
    [
        (_with(SG2IM, 3, "relationships", 0, 2),
         "left out 1 relation: an end that is no object of the graph, or could be several (at relationships[0])"),
        (_with(SG2IM, True, "relationships", 0, 0), "left out 1 relation: an end that is no object of the graph"),
        (_with(SG2IM, [0, "on"], "relationships", 1),
         "left out 1 relation: of another form (expected three values, got 2"),
        (_with(SG2IM, 2, "relationships", 1, 2), "left out 1 relation: an object joined to itself"),
        (_with(SG2IM, 5, "objects", 1), "left out 1 object: of another form (expected text or a JSON object, got 5"),
        (_with(SG2IM_WITH_IMAGE, "on", "relationships", 2, 1), "left out 1 relation: an end that is no object"),
        (_without(VISUAL_GENOME, "objects", 0, "object_id"),
         "left out 1 object: of another form (object_id: is missing"),
        (_with(VISUAL_GENOME, 7, "objects", 0, "object_id"), "left out 1 object: an id that an earlier one has"),
        (_with(VISUAL_GENOME, [], "objects", 0, "names"), "left out 1 object: an empty name (at objects[0])"),
        (_with(VISUAL_GENOME, [""], "objects", 0, "names"), "left out 1 object: an empty name"),
        (_without(VISUAL_GENOME, "objects", 1, "name"), "left out 1 object: of another form (name: is missing"),
        (_without(VISUAL_GENOME, "objects", 0, "w"), "left out 1 box: w: expected pixels, got null"),
        (_with(VISUAL_GENOME, 0, "objects", 0, "w"), "left out 1 box: no area (at objects[0])"),
        (_with(VISUAL_GENOME, -5, "objects", 0, "h"), "left out 1 box: no area"),
        (_with(VISUAL_GENOME, 900, "objects", 0, "x"), "left out 1 box: outside of the picture"),
        (_with(VISUAL_GENOME, 10**400, "objects", 0, "x"), "left out 1 box: x: expected pixels, got a huge number"),
        (_with(VISUAL_GENOME, 3, "relationships", 0, "object_id"), "left out 1 relation: an end that is no object"),
        (_with(VISUAL_GENOME, "", "relationships", 0, "predicate"), "left out 1 relation: an empty predicate"),
        (_with(VISUAL_GENOME, None, "relationships", 0, "predicate"), "left out 1 relation: an empty predicate"),
        (_without(VISUAL_GENOME_NESTED, "relationships", 0, "subject", "object_id"),
         "left out 1 relation: of another form (subject.object_id: is missing"),
        (_without(VISUAL_GENOME_NESTED, "relationships", 0, "object", "names"),
         "left out 1 relation: of another form (object.name: is missing"),
        (_without(LAION_SG, "items", 1, "label"), "left out 1 object: of another form (label: is missing"),
        (_with(LAION_SG, "", "items", 1, "label"), "left out 1 object: an empty name (at items[1])"),
        (_with(LAION_SG, [1], "items", 1, "attributes"),
         "left out 1 attribute: empty, or no text (at items[1].attributes[0])"),
        (_with(LAION_SG, 1, "relations", 0, "item2"), "left out 1 relation: an end that is no object"),
        (_with(LAION_SG, 0, "relations", 0, "item2"), "left out 1 relation: an object joined to itself"),
        (_without(NODE_LINK, "nodes", 1, "name"), "left out 1 object: of another form (name: is missing"),
        (_with(NODE_LINK, [1], "nodes", 1, "id"), "left out 1 object: of another form (expected a number or text"),
        (_with(NODE_LINK, [0.5, 0.5, 0.2, 0.2], "nodes", 1, "box"), "left out 1 box: looks like x, y, width"),
    ],
)  # fmt: skip
def test_a_bad_row_of_a_foreign_record_is_left_out_and_said(record: dict[str, Any], warning: str) -> None:
    reading = read_scene_graphs(record)
    assert any(text.startswith(warning) for text in reading.warnings), reading.warnings
    assert reading.graphs[0].objects


def test_what_the_library_leaves_out_is_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    parse_scene_graph(_with(SG2IM, 2, "relationships", 1, 2))
    assert "left out 1 relation: an object joined to itself (at relationships[1])" in caplog.text


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (SceneObject("teddy bear"), '"teddy bear"'),
        (SceneObject("bear", ("teddy",)), 'teddy "bear"'),
        (SceneObject("circle", ("dark red",)), '"dark red" "circle"'),
        (SceneObject("dog#2"), '"dog#2"'),
        (SceneObject("a|b"), '"a|b"'),
        (SceneObject("a@b"), '"a@b"'),
        (SceneObject("#a"), '"#a"'),
        (SceneObject("[a"), '"[a"'),
        (SceneObject("[[1]]"), '"[[1]]"'),
        (SceneObject('5" pipe\\'), '"5\\" pipe\\\\"'),
        (SceneObject("\ufeff"), '"\ufeff"'),
    ],
)
def test_lines_put_quotes_around_what_would_be_read_otherwise(item: SceneObject, text: str) -> None:
    graph = SceneGraph((item,))
    assert format_lines(graph) == text
    assert parse_scene_graph(text) == graph


@pytest.mark.parametrize("predicate", ["on|under", "is", "next to #2", "a: b", "_"])
def test_predicates_in_quotes(predicate: str) -> None:
    graph = SceneGraph((SceneObject("a"), SceneObject("b")), (Relation(0, predicate, 1),))
    assert format_lines(graph) == f'a | "{predicate}" | b'
    assert parse_scene_graph(format_lines(graph)) == graph


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": None}, "^names: expected a list"),
        ({"box": None}, "^box: expected a Tensor"),
        ({"box": torch.zeros(2, 3)}, r"^box: the shape is \[2, 3\]; write \[2, 4\]"),
        (
            {"box": torch.tensor([[0.5, 0.5, 0.2, 0.2], [0, 0, 0, 0]])},
            "^object 0.box: looks like x, y, width, height",
        ),
        ({"attributes": [[]]}, "^attributes: 1 lists for 2 names"),
        ({"predicates": []}, r"^edge_index: the shape is \[2, 1\]; write \[2, 0\]"),
        ({"edge_index": torch.tensor([[0.0], [1.0]])}, r"^edge_index\[:, 0\].subject: expected the position"),
        ({"edge_index": torch.tensor([[0], [2]])}, r"^relations\[0\].object: there is no object 2"),
    ],
)
def test_pyg_data_that_is_refused(change: dict[str, Any], message: str) -> None:
    data = to_pyg(SceneGraph.from_dict(CANONICAL))
    for key, value in change.items():
        data[key] = value
    with pytest.raises(SceneGraphError, match=message):
        from_pyg(data)


def test_other_objects_in_place_of_graphs() -> None:
    batch: Any = Batch.from_data_list([to_pyg(SKY_GRASS_ZEBRA)])
    with pytest.raises(SceneGraphError, match="expected one torch_geometric Data, got DataBatch"):
        from_pyg(batch)
    with pytest.raises(SceneGraphError, match="^edge_index: expected a Tensor"):
        from_pyg(Data())
    with pytest.raises(SceneGraphError, match="expected a networkx DiGraph or MultiDiGraph, got Graph"):
        from_networkx(nx.Graph())  # type: ignore[arg-type]


# Junk


def _parses_or_raises_scene_graph_error(parse: Callable[[Any], Any], source: Any) -> None:
    try:
        parse(source)
    except SceneGraphError as error:
        str(error).encode("utf-8")


@THOROUGH
@given(st.text(max_size=80) | st.text(st.sampled_from('ab#@| .01\n{}[]":,'), max_size=40))
def test_junk_text(text: str) -> None:
    _parses_or_raises_scene_graph_error(parse_scene_graph, text)


@THOROUGH
@given(JSON_VALUES)
def test_junk_values(value: Any) -> None:
    _parses_or_raises_scene_graph_error(parse_scene_graph, value)
    _parses_or_raises_scene_graph_error(parse_scene_graph, json.dumps(value))


KEYS = st.sampled_from(["objects", "relationships", "relations", "items", "nodes", "links", "edges", "width", "height"])


@THOROUGH
@given(st.dictionaries(KEYS, JSON_VALUES | st.lists(JSON_VALUES, max_size=3), max_size=4))
def test_junk_under_known_keys(record: dict[str, Any]) -> None:
    _parses_or_raises_scene_graph_error(parse_scene_graph, record)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside `value`."""
    steps = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [place for step in steps for place in [(*path, step), *_places(value[step], (*path, step))]]


ODD_NUMBERS = st.sampled_from([10**5000, -(10**400), -1, 10**6, 1.5, float("nan"), float("inf"), True])


@settings(THOROUGH, max_examples=200)
@given(st.sampled_from(RECORDS), st.data())
def test_damaged_records(record: dict[str, Any], data: st.DataObject) -> None:
    place = data.draw(st.sampled_from(_places(record)))
    if data.draw(st.booleans()):
        damaged = _without(record, *place)
    else:
        damaged = _with(record, data.draw(JSON_VALUES | ODD_NUMBERS), *place)
    _parses_or_raises_scene_graph_error(parse_scene_graph, damaged)
