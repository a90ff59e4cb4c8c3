"""Scene graphs in the shapes that others write them: read with all relations and attributes, or refused by name."""

import json
from pathlib import Path
from typing import Any

import networkx as nx
import pytest

from sg_models.graph.beside import Beside, read_sizes
from sg_models.graph.graph_files import read_source
from sg_models.graph.line_syntax import parse_lines
from sg_models.graph.reading import read_scene_graphs
from sg_models.graph.scene_graph import Relation, SceneGraphError, SceneObject

DOG_ON_MAT = parse_lines("brown dog | on | mat")
WILD = Path(__file__).resolve().parents[4] / "shared" / "data" / "wild-graphs"
NODES = [{"id": 1, "label": "dog", "attributes": ["brown"]}, {"id": "2", "label": "mat"}]
NAMED = [{"name": "dog", "attributes": ["brown"]}, {"name": "mat"}]
ADJACENCY = nx.adjacency_data(nx.MultiDiGraph([("dog", "mat", {"predicate": "on"})]))
ADJACENCY["nodes"][0]["attributes"] = ["brown"]


@pytest.mark.parametrize(
    "record",
    [
        {"objects": NODES, "relations": [{"source": 1, "target": 2, "label": "on"}]},
        {"nodes": NODES, "links": [], "edges": [{"from": "1", "to": 2, "relation": "on"}]},
        {"nodes": NODES, "relations": [{"subject": 1, "predicate": "on", "object": 2}]},
        {"objects": NAMED, "relationships": [{"subject": 0, "predicate": "on", "object": 1}]},
        {"objects": NAMED, "relationship": [["dog", "on", "mat"]]},
        {"objects": NAMED, "triples": [[0, "on", 1]]},
        {"objects": ["dog", "mat"], "attributes": [["brown"], []], "relationships": [[0, "on", 1]]},
        {"objects": ["dog", "mat"], "attributes": {"dog": "brown"}, "relations": [[0, "on", 1]]},
        {"items": [{"item_id": 0, "label": "dog", "attributes": ["brown"]}, {"item_id": 1, "label": "mat"}],
         "relationships": [{"item1": 0, "relation": "on", "item2": 1}]},
        {"nodes": ["dog", "mat"], "edges": [["dog", "on", "mat"]],
         "attributes": [{"object": "dog", "attribute": "brown"}]},
        {"objects": [{"name": "dog"}, {"name": "mat"}], "attributes": [{"attribute": "brown", "object": 0}],
         "relationships": [{"predicate": "on", "subject": 0, "object": 1}]},
        {"triples": [["dog", "on", "mat"], ["dog", "is", "brown"]]},
        [["dog", "on", "mat"], ["dog", "is", "brown"]],
        [{"subject": "dog", "predicate": "on", "object": "mat"},
         {"subject": "dog", "predicate": "is", "object": "brown"}],
        {"entities": [{"head": "dog", "span": "a brown dog", "lemma_head": "dog", "modifiers": [
            {"dep": "det", "span": "a"}, {"dep": "amod", "span": "brown", "lemma_span": "brown"}]},
            {"head": "mat", "span": "mat", "modifiers": []}],
         "relations": [{"subject": 0, "object": 1, "relation": "on", "lemma_relation": "on"}]},
        {"objects": {"7": {"name": "dog", "attributes": ["brown"], "relations": [{"object": "8", "name": "on"}]},
                     "8": {"name": "mat", "attributes": [], "relations": []}}},
        {"scene_graph": {"objects": NAMED, "relations": [{"subject": 0, "predicate": "on", "object": 1}]}},
        ADJACENCY,
        "( dog , on , mat ) , ( dog , is , brown )",
    ],
    ids=str,
)  # fmt: skip
def test_one_graph_in_many_shapes(record: Any) -> None:
    reading = read_scene_graphs(record)
    assert reading.graphs == (DOG_ON_MAT,) and reading.warnings == ()


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"objects": NODES, "relations": [{"source": 1, "target": 2, "label": "on", "colour": "red"}]}, "'colour'"),
        ({"objects": NODES, "relations": [], "layout": []}, "'layout'"),
        ({"nodes": [{"id": 1, "label": "dog", "colour": "red"}]}, "'colour'"),
        ({"items": [{"item_id": 0, "label": "dog"}], "facts": [1]}, "'facts'"),
        ({"objects": {"7": {"name": "dog", "colour": "red"}}}, "'colour'"),
        ({"objects": NODES, "relations": [[1, "on", 2]], "edges": [[1, "on", 2]]}, "both hold something"),
        ({"objects": NODES, "relations": [{"source": 1, "target": 2, "label": "on", "relation": "by"}]}, "different"),
        ({"frames": [], "relations": [], "objects": {}}, "egocentric"),
        ({"regions": [{"phrase": "a dog"}], "id": 1}, "region descriptions"),
        ([{"image_id": 1, "width": 8, "height": 6}], "image_data.json"),
        ({"boxes": [], "labels": []}, r"its keys \(boxes, labels\) fit none of the formats that were tried"),
        ({"a.jpg": [{"predicate": 0, "subject": {"category": 0, "bbox": [0, 1, 0, 1]},
                     "object": {"category": 1, "bbox": [0, 1, 0, 1]}}]}, "^this is a VRD file, whose names"),
        (["a.jpg", {"objs": [{"cls": 0, "bbox": [0, 0, 1, 1]}], "rels": []}], "^this is a VG-150 file, whose names"),
    ],
)  # fmt: skip
def test_refused_with_the_reason(record: Any, message: str) -> None:
    with pytest.raises(SceneGraphError, match=message):
        read_scene_graphs(record)


VRD = {"a.jpg": [{"predicate": 0, "subject": {"category": 0, "bbox": [30, 60, 10, 50]},
                  "object": {"category": 1, "bbox": [50, 80, 0, 100]}}]}  # fmt: skip


def test_names_and_sizes_from_beside() -> None:
    beside = Beside(None, read_sizes({"a.jpg": {"width": 100, "height": 100}}), ["dog", "mat"], ["on"])
    (graph,) = read_scene_graphs(VRD, beside=beside).graphs
    assert graph.objects == (SceneObject("dog", (), (0.1, 0.3, 0.5, 0.6)), SceneObject("mat", (), (0, 0.5, 1, 0.8)))
    assert graph.relations == (Relation(0, "on", 1),)


def test_sizes_by_option_and_by_record() -> None:
    record = {"image_id": 7, "objects": [{"object_id": 1, "names": ["dog"], "x": 10, "y": 10, "w": 30, "h": 50}]}
    assert read_scene_graphs(record).graphs[0].objects[0].box is None
    assert read_scene_graphs(record).warnings[0].startswith("left out 1 box: the picture's size is not known")
    for reading in (
        read_scene_graphs(record, size=(100, 100)),
        read_scene_graphs({**record, "width": 100, "height": 100}, size=(1, 1)),
        read_scene_graphs(record, beside=Beside((1, 1), read_sizes([{"image_id": 7, "width": 100, "height": 100}]))),
    ):
        assert reading.graphs[0].objects[0].box == (0.1, 0.1, 0.4, 0.6) and not reading.warnings


def test_the_place_of_what_is_left_out() -> None:
    record = {"4": {"objects": {"7": {"name": ""}, "8": {"name": "mat", "relations": [{"object": "8", "name": "on"}]}}}}
    assert read_scene_graphs(record).warnings == (
        'left out 1 object: an empty name (at ["4"].objects["7"])',
        'left out 1 relation: an object joined to itself (at ["4"].objects["8"].relations[0])',
    )


def test_string_ids_are_ids() -> None:
    record = {"objects": [{"object_id": "1", "names": ["dog"]}, {"object_id": 2, "names": ["mat"]}],
              "relationships": [{"subject_id": 1, "predicate": "on", "object_id": "2"}]}  # fmt: skip
    assert read_scene_graphs(record).graphs == (parse_lines("dog | on | mat"),)


def test_what_stands_beside_a_file(tmp_path: Path) -> None:
    (tmp_path / "vrd.json").write_text(json.dumps(VRD), "utf-8")
    (tmp_path / "objects.json").write_text('["dog", "mat"]', "utf-8")
    (tmp_path / "predicates.json").write_text('["on"]', "utf-8")
    (tmp_path / "test_image_metadata.json").write_text('{"a.jpg": {"width": 100, "height": 100}}', "utf-8")
    (file,) = read_source(str(tmp_path))
    assert file.name == "vrd" and file.reading.single().objects[0].box == (0.1, 0.3, 0.5, 0.6)


@pytest.mark.skipif(not WILD.is_dir(), reason="needs the collection of wild graphs, ../shared/data/wild-graphs")
@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("01_sg2im_figure_5_vg", (8, 61, 32, 0)),
        ("02_vg_scene_graph_record", (1, 40, 41, 35)),
        ("03_vg_relationships_record", (1, 19, 22, 0)),
        ("05_vg_attributes_only", (1, 52, 0, 25)),
        ("06_vg_huggingface_record", (1, 52, 50, 25)),
        ("07_johnson_triples_record", (1, 39, 13, 11)),
        ("08_graphviz_example_graph", (1, 2, 1, 3)),
        ("09_text_timeline_scene_graphs", (16, 49, 35, 56)),
        ("13_nsr1k_spatial", (2, 4, 2, 0)),
        ("14_3dssg_scans_transcribed", (1, 9, 11, 0)),
        ("15_gqa_record_converted", (1, 8, 10, 5)),
    ],
)
def test_wild_graphs(name: str, counts: tuple[int, ...]) -> None:
    graphs = read_scene_graphs((WILD / f"{name}.json").read_text("utf-8")).graphs
    objects = [item for graph in graphs for item in graph.objects]
    relations = sum(len(graph.relations) for graph in graphs)
    assert (len(graphs), len(objects), relations, sum(len(item.attributes) for item in objects)) == counts


def test_a_number_too_long_to_be_written_is_no_pictures_id():
    immense = 10**5000
    assert Beside((3, 4), {"7": (1, 2)}).size_of(immense, [immense], 7) == (1, 2)
    assert Beside((3, 4)).size_of(immense) == (3, 4)
    with pytest.raises(SceneGraphError, match="image_id: expected a number or a file name"):
        read_sizes([{"image_id": immense, "width": 100, "height": 100}])
