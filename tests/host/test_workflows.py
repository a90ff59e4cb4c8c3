"""The shipped workflows: sound, and the SG-Mini ones run in the real server and draw."""

import json

import numpy as np
import pytest
from comfyui_host import PACK, REPOSITORY
from PIL import Image
from ui_to_api import api_prompt

from sg_models.graph.formats import parse_scene_graph
from sg_models.verification.shapes.oracle import detect, judge

WORKFLOWS = sorted(path.stem for path in (REPOSITORY / "workflows").glob("*.json"))
SG_MINI = [name for name in WORKFLOWS if name.endswith("sg-mini")]
WITHOUT_OBEDIENCE = ("i-", "guidance-")  # a caption that hardly binds; guidance, which may draw more than it was asked


def read_workflow(name: str) -> dict:
    return json.loads((REPOSITORY / "workflows" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def drawn(server, object_info):
    """Runs a workflow, once per session, and returns the picture that it saves."""
    pictures: dict[str, Image.Image] = {}

    def picture(name: str) -> Image.Image:
        if name not in pictures:
            history = server.run(api_prompt(read_workflow(name), object_info))
            assert history["status"]["status_str"] == "success", history["status"]
            files = [file for output in history["outputs"].values() for file in output.get("images", [])]
            (saved,) = [file for file in files if file["type"] == "output"]
            pictures[name] = Image.open(server.picture(saved)).convert("RGB")
        return pictures[name]

    return picture


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_link_joins_sockets_of_one_type(name, object_info):
    workflow = read_workflow(name)
    nodes = {node["id"]: node for node in workflow["nodes"]}
    for link, source, output, target, slot, kind in workflow["links"]:
        info = object_info[nodes[source]["type"]]
        assert info["output"][output] == kind
        assert link in nodes[source]["outputs"][output]["links"]
        socket = nodes[target]["inputs"][slot]
        assert (socket["type"], socket["link"]) == (kind, link)
        inputs = object_info[nodes[target]["type"]]["input"]
        assert socket["name"] in {**inputs.get("required", {}), **inputs.get("optional", {})}
    api_prompt(workflow, object_info)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_has_a_thumbnail_and_a_note(name):
    with Image.open(REPOSITORY / "workflows" / f"{name}.jpg") as thumbnail:
        assert thumbnail.width == 512
    assert (REPOSITORY / "workflows" / f"{name}.jpg").stat().st_size <= 40_000
    assert any(node["type"] == "MarkdownNote" for node in read_workflow(name)["nodes"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_names_where_its_downloads_go(name, server):
    registered = {folder["name"] for folder in server.get("/experiment/models")} | {"checkpoints", "scene_graph"}
    shipped = set(server.get("/models/checkpoints"))
    for node in read_workflow(name)["nodes"]:
        if node["type"] == "CheckpointLoaderSimple" and node["widgets_values"][0] not in shipped:
            (model,) = node["properties"]["models"]
            assert model["name"] == node["widgets_values"][0]
            assert model["directory"] in registered
            assert "/resolve/" in model["url"]


@pytest.mark.parametrize("name", SG_MINI)
def test_draws_a_picture(name, drawn):
    picture = np.asarray(drawn(name), dtype=np.float32)
    assert picture.shape == (128, 128, 3)
    assert picture.std() > 5, "the picture is blank"


@pytest.mark.parametrize("name", SG_MINI)
def test_nothing_is_written_beside_the_pack(name, drawn, base_directory):
    """PyTorch Geometric would name a file of generated code after the module, and a pack's module name is a path."""
    drawn(name)
    assert [path.name for path in (base_directory / "custom_nodes").iterdir()] == [PACK]


@pytest.mark.parametrize("name", [name for name in SG_MINI if not name.startswith(WITHOUT_OBEDIENCE)])
def test_oracle_finds_the_graph(name, drawn):
    (text,) = [node["widgets_values"][0] for node in read_workflow(name)["nodes"] if node["type"] == "SceneGraphInput"]
    verdict = judge(np.asarray(drawn(name)), parse_scene_graph(text))
    assert verdict.exact, verdict


def test_graph_guidance_draws_what_the_graph_says(drawn):
    nodes = {node["type"]: node["widgets_values"] for node in read_workflow("guidance-graph-sg-mini")["nodes"]}
    verdict = judge(np.asarray(drawn("guidance-graph-sg-mini")), parse_scene_graph(nodes["SceneGraphInput"][0]))
    assert all(verdict.bound) and all(verdict.related), verdict


def test_language_guidance_draws_what_the_prompt_does_not_say(drawn):
    workflow = read_workflow("guidance-language-sg-mini")
    (words,) = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "SGLanguageGuidance"]
    prompts = [node["widgets_values"][0] for node in workflow["nodes"] if node["type"] == "CLIPTextEncode"]
    seen = {(thing.colour, thing.shape) for thing in detect(np.asarray(drawn("guidance-language-sg-mini")))}
    assert tuple(words.split()[-2:]) in seen and not any(words.split()[-1] in prompt for prompt in prompts)


def test_image_guidance_draws_what_the_other_picture_shows(drawn):
    workflow = read_workflow("guidance-image-sg-mini")
    (guiding,) = [node for node in workflow["nodes"] if node.get("title") == "What the guiding picture shows"]
    wanted = {tuple(phrase.split()[-2:]) for phrase in guiding["widgets_values"][0].split(", ")}
    seen = {(thing.colour, thing.shape) for thing in detect(np.asarray(drawn("guidance-image-sg-mini")))}
    assert wanted & seen, f"{seen} has nothing of {wanted}"
