"""SG-IoU, Entity-IoU and Relation-IoU against counts made by hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from train.report.graph_overlap import OBJECTS, PREDICATES, TRIPLES, GraphFiles, GraphOverlap, GraphWords, overlaps
from train.report.picture_metric import DrawnPictures
from train.running.command_line import UsageError

DOG, SOFA, LAMP = (SceneObject(name) for name in ("dog", "sofa", "lamp"))
GRAPH = SceneGraph((DOG, SOFA, LAMP), (Relation(0, "on", 1), Relation(2, "beside", 1)))


def test_overlaps_by_hand():
    other = SceneGraph(
        (SceneObject("Dog", ("brown",)), SOFA, SceneObject("cat")), (Relation(0, "On", 1), Relation(2, "on", 1))
    )
    assert overlaps(GraphWords.of(GRAPH), GraphWords.of(other)) == {
        TRIPLES: 1 / 3,  # dog on sofa; lamp beside sofa, cat on sofa
        OBJECTS: 2 / 4,  # dog, sofa; lamp, cat
        PREDICATES: 1 / 2,  # on; beside
    }


def test_direction_counts_and_equal_graphs_are_one():
    there, back = SceneGraph((DOG, SOFA), (Relation(0, "on", 1),)), SceneGraph((DOG, SOFA), (Relation(1, "on", 0),))
    assert overlaps(GraphWords.of(there), GraphWords.of(back)) == {TRIPLES: 0, OBJECTS: 1, PREDICATES: 1}
    assert set(overlaps(GraphWords.of(GRAPH), GraphWords.of(GRAPH)).values()) == {1}


def test_two_graphs_without_relations_say_nothing_about_relations():
    alone = GraphWords.of(SceneGraph((DOG,)))
    assert overlaps(alone, alone) == {OBJECTS: 1}
    assert overlaps(alone, GraphWords(frozenset(), frozenset())) == {OBJECTS: 0}


def drawn(graphs: list[SceneGraph], samples: int = 1) -> DrawnPictures:
    return DrawnPictures(range(len(graphs)), graphs, np.zeros((len(graphs), samples, 8, 8, 3), np.uint8))


def test_graphs_come_from_files_of_any_format_and_unreadable_ones_are_counted(tmp_path: Path):
    (tmp_path / "000000-0.json").write_text(json.dumps(GRAPH.to_dict()))
    sg2im = {"objects": ["dog", "sofa"], "relationships": [[0, "on", 1]]}
    (tmp_path / "000001-0.json").write_text(json.dumps(sg2im))
    (tmp_path / "000002-0.json").write_text("no graph at all {")
    metric = GraphOverlap(GraphFiles(tmp_path))
    metric.see(drawn([GRAPH] * 3))
    figures = metric.figures()
    assert figures[TRIPLES][0] == pytest.approx((1 + 1 / 2) / 2)
    assert figures[OBJECTS][0] == pytest.approx((1 + 2 / 3) / 2, abs=1e-4)
    assert metric.notes()["graphs that could not be read"] == "1 of 3, in no figure"


def test_a_missing_graph_and_none_at_all_are_errors_in_words(tmp_path: Path):
    metric = GraphOverlap(GraphFiles(tmp_path))
    with pytest.raises(UsageError, match="there is no .*000000-0.json, the graph of a picture"):
        metric.see(drawn([GRAPH]))
    (tmp_path / "000000-0.json").write_text("{")
    metric.see(drawn([GRAPH]))
    with pytest.raises(UsageError, match="of 1 pictures not one graph could be read"):
        metric.figures()
