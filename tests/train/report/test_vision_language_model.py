"""A model that reads graphs off pictures: what is asked, what is an answer, and the path through transformers."""

from pathlib import Path

import numpy as np
import pytest

from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from train.report import vision_language_model
from train.report.graph_overlap import GraphOverlap, GraphWords
from train.report.network_files import Source
from train.report.picture_metric import DrawnPictures
from train.report.vision_language_model import VisionLanguageModel, parse_answer, question
from train.running.command_line import UsageError

GRAPH = SceneGraph((SceneObject("sofa"), SceneObject("dog")), (Relation(1, "on", 0),))
READ = GraphWords(frozenset({"dog", "sofa"}), frozenset({("dog", "on", "sofa")}))
ANSWER = '{"objects": ["sofa", "Dog"], "relations": [["dog", "on", "sofa"]]}'
PICTURE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)


def test_the_question_offers_the_graphs_words_and_not_its_triples():
    text = question(GRAPH)
    assert "alone: dog, sofa." in text and "alone: on." in text
    assert "alone: none." in question(SceneGraph((SceneObject("dog"),)))


@pytest.mark.parametrize("text", [ANSWER, f"\n{ANSWER}\n", f"```json\n{ANSWER}\n```"])
def test_answers_are_read(text: str):
    assert parse_answer(text) == READ


def test_nothing_is_an_answer_and_ends_of_triples_are_objects():
    assert parse_answer('{"objects": [], "relations": []}') == GraphWords(frozenset(), frozenset())
    assert parse_answer('{"objects": [], "relations": [["dog", "on", "sofa"]]}') == READ


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"Sure! {ANSWER}",
        "[]",
        '{"objects": ["dog"]}',
        '{"objects": "dog", "relations": []}',
        '{"objects": ["dog"], "relations": [["dog", "on"]]}',
        '{"objects": ["dog"], "relations": ["dog on sofa"]}',
        '{"objects": [1], "relations": []}',
        '{"objects": ["dog"], "relations": [["dog", 1, "sofa"]]}',
    ],
)
def test_anything_else_is_no_answer(text: str):
    assert parse_answer(text) is None


def test_the_whole_path_of_a_model(networks: Path, monkeypatch):
    monkeypatch.setattr(vision_language_model, "LONGEST", 4)
    model = VisionLanguageModel(Source(str(networks / "vlm")))
    said = model.answer(PICTURE, question(GRAPH))
    assert said and said == model.answer(PICTURE, question(GRAPH))
    assert model.read(PICTURE, 0, 0, GRAPH) is None  # random weights say no JSON
    answers = iter([ANSWER, "a dog on a sofa"])
    monkeypatch.setattr(model, "answer", lambda picture, text: next(answers))
    metric = GraphOverlap(model)
    metric.see(DrawnPictures([0], [GRAPH], np.stack([PICTURE, PICTURE])[None]))
    assert {value for value, *_ in metric.figures().values()} == {1}
    assert metric.notes()["graphs that could not be read"] == "1 of 2, in no figure"


def test_a_missing_model_is_an_error_in_words(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no image-text-to-text model"):
        VisionLanguageModel(Source(str(tmp_path)))
