"""The nodes that arrange, in the real ComfyUI: measured by `arrange_measurements.py`."""

import json

import numpy as np
import pytest
from comfyui_host import REPOSITORY
from PIL import Image
from ui_to_api import api_prompt

from sg_models.graph.spatial_relations import spatial_relation

WORKFLOW = REPOSITORY / "workflows" / "arrange-with-core-nodes.json"


def test_every_object_has_a_box_that_obeys_the_graph(measured):
    scaled = [(2 * x0, y0, 2 * x1, y1) for x0, y0, x1, y1 in measured["arrange_node"]["boxes"]]
    circle, square, star = scaled
    assert spatial_relation(circle, square) == "left of"
    assert spatial_relation(square, star) == "above"


def test_a_seed_is_an_arrangement(measured):
    result = measured["arrange_node"]
    assert result["again"] == result["boxes"]
    assert np.abs(np.array(result["other"]) - result["boxes"]).max() > 0.01


def test_given_boxes_stay(measured):
    assert measured["arrange_node"]["given"] == [0.1, 0.2, 0.3, 0.4]


def test_cores_boxes_and_the_masks_are_those_of_the_graph(measured):
    result = measured["arrange_node"]
    (frame,) = result["frames"]
    assert [box["label"] for box in frame] == ["small red circle", "large blue square", "small green star"]
    for box, (x0, y0, x1, y1), area in zip(frame, result["boxes"], result["mask_areas"], strict=True):
        assert (box["x"], box["y"]) == (round(256 * x0), round(128 * y0))
        assert (box["x"] + box["width"], box["y"] + box["height"]) == (round(256 * x1), round(128 * y1))
        assert area == box["width"] * box["height"]
    assert result["masks"] == [3, 128, 256]
    assert result["drawing"] == [1, 128, 256, 3] and result["drawn"] > 0.01
    assert result["by_core"] == [1, 128, 256, 3]


def test_contradictions_are_said_in_words(measured):
    result = measured["arrange_says"]
    assert result["right"] == []
    assert result["wrong"] == [
        "2 boxes; 1 of 2 spatial relations hold exactly; 1 cannot hold",
        "'star left of cross' and 'cross left of star' cannot both hold; 'cross left of star' is left out",
    ]


def test_adapters_use_the_boxes(measured):
    result = measured["arranged_boxes_are_used"]
    assert result["again"] == 0.0
    assert result["other"] > 1e-3
    assert result["layout"]


def test_a_box_is_picked_for_cores_nodes(measured):
    result = measured["pick_box"]
    label, box, x, y, width, height = result["picked"]
    assert (label, box) == ("large blue square", result["expected"])
    assert {x % 8, y % 8, width % 8, height % 8} == {0}
    assert x <= box["x"] and y <= box["y"]
    assert x + width >= box["x"] + box["width"] and y + height >= box["y"] + box["height"]
    assert width < box["width"] + 16 and height < box["height"] + 16
    assert result["one"] == box and result["flat"] == "small green star"
    assert result["matters"] > 1e-2


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("number", "asked for box 4 of picture 1, and there are 3"),
        ("picture", "asked for picture 2, and there are boxes of 1"),
        ("empty", "no boxes for picture 1"),
    ],
)
def test_error_is_a_sentence_a_user_understands(measured, case, words):
    assert words in measured["pick_box"][case]


def test_the_node_says_it_and_draws(server):
    """As the front end runs it: the words and the drawing are in the node's output."""
    prompt = {
        "1": {"class_type": "SceneGraphInput", "inputs": {"text": "star | left of | cross\ncross | left of | star"}},
        "2": {
            "class_type": "SGArrange",
            "inputs": {"scene_graph": ["1", 0], "seed": 1, "width": 256, "height": 128},
        },
    }
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", history["status"]
    output = history["outputs"]["2"]
    assert "cannot both hold" in output["text"][0]
    assert len(output["images"]) == 1


def test_the_workflow_runs_on_sg_mini(server, object_info):
    """Core's nodes take what Pick Box gives; Stable Diffusion's weights are not at hand here."""
    prompt = api_prompt(json.loads(WORKFLOW.read_text()), object_info)
    for node in prompt.values():
        if node["class_type"] == "CheckpointLoaderSimple":
            node["inputs"]["ckpt_name"] = "sg_mini.safetensors"
        for side in {"width", "height"} & set(node["inputs"]):
            if node["class_type"] in ("SGArrange", "EmptyLatentImage"):
                node["inputs"][side] = 128
        if node["class_type"] == "KSampler":
            node["inputs"]["steps"] = 4
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", history["status"]
    (saved,) = [
        image for out in history["outputs"].values() for image in out.get("images", []) if image["type"] == "output"
    ]
    with Image.open(server.picture(saved)) as picture:
        assert picture.size == (128, 128) and np.asarray(picture, float).std() > 5
