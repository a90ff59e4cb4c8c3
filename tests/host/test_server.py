"""What ComfyUI's server makes of the pack: it loads fast and without complaint, and everything is where users look."""

import os
import re

import pytest
from comfyui_host import PACK, REPOSITORY
from PIL import Image

NODES = (
    "SceneGraphInput",
    "SGBatchEmbeds",
    "SGBatchLayouts",
    "SGCaption",
    "SGArrange",
    "SGPickBox",
    "SGAdapterLoader",
    "SGBertLoader",
    "GraphEncoder",
    "GatedSelfAttentionPatch",
    "LayoutPredictor",
    "SGControlNetApply",
    "SGStructureCLIPEncode",
    "SGGraphConditioning",
    "SGRegionalPrompt",
    "SGLanguageGuidance",
    "SGImageGuidance",
    "SGGraphGuidance",
    "SGDetectorLoader",
    "SGDetect",
    "SGVerify",
    "SGPickBest",
)
IMPORT_SECONDS = 0.7


def test_pack_loads_without_complaint(server):
    log = server.log()
    assert "Cannot import" not in log
    assert "Error while calling comfy_entrypoint" not in log
    assert "Skip " not in log


@pytest.mark.skipif(
    hasattr(os, "getloadavg") and os.getloadavg()[0] > (os.cpu_count() or 1),
    reason="the machine is busy with something else, so that times mean nothing",
)
def test_import_time_by_comfyuis_own_report(server):
    report = re.search(rf"([\d.]+) seconds[^\n]*{PACK}", server.log())
    assert report, "ComfyUI did not report the import time of the pack"
    assert float(report.group(1)) <= IMPORT_SECONDS


@pytest.mark.parametrize("node", NODES)
def test_node_is_registered(object_info, node):
    info = object_info[node]
    assert info["category"] == "scene graph"
    assert info["description"]
    assert not info["display_name"].startswith("SG")


@pytest.mark.parametrize("node", NODES)
def test_every_input_and_output_has_a_tooltip(object_info, node):
    info = object_info[node]
    inputs = {**info["input"]["required"], **info["input"].get("optional", {})}
    assert [name for name, spec in inputs.items() if not spec[1].get("tooltip")] == []
    assert len(info["output_tooltips"]) == len(info["output"])
    assert all(info["output_tooltips"])


@pytest.mark.parametrize("node", ["GatedSelfAttentionPatch", "SGControlNetApply", "SGRegionalPrompt"])
def test_schedule_is_for_experts(object_info, node):
    inputs = object_info[node]["input"]["required"]
    advanced = {name for name, spec in inputs.items() if spec[1:] and spec[1].get("advanced")}
    assert {"start", "end"} <= advanced and "strength" not in advanced


@pytest.mark.parametrize("node", NODES)
def test_help_page_is_served(server, node):
    page = server.get_text(f"/extensions/{PACK}/docs/{node}.md")
    assert page.startswith("# ")


def test_workflows_are_offered_as_templates(server):
    shipped = {path.stem for path in (REPOSITORY / "workflows").glob("*.json")}
    assert shipped == set(server.get("/workflow_templates")[PACK])
    for name in shipped:
        assert server.get(f"/api/workflow_templates/{PACK}/{name}.json")["nodes"]


def test_shipped_weights_are_listed(server, object_info):
    for folder in ("checkpoints", "loras", "scene_graph"):
        shipped = {path.name for path in (REPOSITORY / "models" / folder).glob("*.safetensors")}
        assert shipped and shipped <= set(server.get(f"/models/{folder}"))
    offered = object_info["SGAdapterLoader"]["input"]["required"]["adapter_name"][1]["options"]
    assert shipped <= set(offered)
    assert "sg_mini.safetensors" not in offered


def test_graph_is_drawn_on_its_node(server):
    history = server.run({"1": {"class_type": "SceneGraphInput", "inputs": {"text": "brown dog | on | motorcycle"}}})
    (drawing,) = history["outputs"]["1"]["images"]
    assert drawing["type"] == "temp"
    with Image.open(server.picture(drawing)) as image:
        assert len(image.convert("RGB").getcolors(maxcolors=1 << 24)) > 2, "the drawing is blank"


def test_malformed_graph_stops_the_run_with_the_line(server):
    prompt = {"1": {"class_type": "SceneGraphInput", "inputs": {"text": "dog | on"}}}
    status, answer = server.post("/prompt", {"prompt": prompt})
    assert status == 400
    assert "line 1" in str(answer["node_errors"]["1"])


def test_a_graph_that_contradicts_itself_is_drawn_and_says_so(server):
    text = "circle | left of | square\nsquare | left of | circle"
    history = server.run({"1": {"class_type": "SceneGraphInput", "inputs": {"text": text}}})
    outputs = history["outputs"]["1"]
    assert outputs["images"]
    assert "'circle left of square' and 'square left of circle' cannot both hold" in outputs["text"][0]
    assert "cannot both hold" in server.log()


def test_what_is_left_out_of_a_record_is_said_on_the_node(server):
    text = '{"objects": ["sky", "grass"], "relationships": [[0, "above", 1], [0, "near", 0]]}'
    history = server.run({"1": {"class_type": "SceneGraphInput", "inputs": {"text": text}}})
    (said,) = history["outputs"]["1"]["text"]
    assert said.splitlines()[0] == "2 objects, 1 relation"
    assert "left out 1 relation: an object joined to itself (at relationships[1])" in said


def test_a_sentence_is_no_graph(server):
    prompt = {"1": {"class_type": "SceneGraphInput", "inputs": {"text": "A dog sits on a red mat."}}}
    status, answer = server.post("/prompt", {"prompt": prompt})
    assert status == 400
    assert "looks like a sentence" in str(answer["node_errors"]["1"])
