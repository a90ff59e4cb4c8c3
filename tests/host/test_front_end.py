"""The shipped workflows in ComfyUI's real front end, where Chromium and playwright-core are at hand."""

import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_host import REPOSITORY
from ui_to_api import api_prompt

WORKFLOWS = sorted(path.stem for path in (REPOSITORY / "workflows").glob("*.json"))
RENDERERS = ("canvas", "vue")
APPLY = {  # the nodes that change what a sampler gets, with their inputs in the order of the pack's first workflows
    "GatedSelfAttentionPatch": ("vi-gsa-clip-sg-mini", ["model", "adapter", "embeds", "positive", "negative"]),
    "SGControlNetApply": ("iv-controlnet-clip-sg-mini", ["adapter", "layout", "positive", "negative", "model"]),
    "SGRegionalPrompt": ("regional-sd21-base", ["model", "positive", "negative", "scene_graph", "clip"]),
}
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TITLE = 30  # pixels of a node above its position
SECONDS = 400


def has_playwright() -> bool:
    """Whether node finds playwright-core: next to the working directory, or through NODE_PATH."""
    return (
        NODE is not None
        and subprocess.run([NODE, "-e", "require('playwright-core')"], capture_output=True).returncode == 0
    )


pytestmark = pytest.mark.skipif(
    CHROMIUM is None or not has_playwright(),
    reason="needs Chromium and playwright-core; get them with: apt install chromium; npm i playwright-core, "
    "and NODE_PATH=<folder>/node_modules",
)


def read_workflow(name: str) -> dict[str, Any]:
    return json.loads((REPOSITORY / "workflows" / f"{name}.json").read_text())


def in_first_order(workflow: dict[str, Any], node_type: str, order: list[str]) -> dict[str, Any]:
    """A workflow as it was saved when a node had its inputs in another order; links name them by their place."""
    links = {link[0]: link for link in workflow["links"]}
    (node,) = [node for node in workflow["nodes"] if node["type"] == node_type]
    node["inputs"].sort(key=lambda slot: order.index(slot["name"]))
    for place, slot in enumerate(node["inputs"]):
        links[slot["link"]][4] = place
    return workflow


def cases() -> Iterator[dict[str, Any]]:
    """What is opened: every workflow in both renderers, and the apply nodes bypassed, and in their first order."""
    for vue in (False, True):
        for name in WORKFLOWS:
            yield {"name": name, "workflow": read_workflow(name), "vue": vue}
        for node_type, (name, order) in APPLY.items():
            first = in_first_order(read_workflow(name), node_type, order)
            bypass = [node_type]
            yield {"name": f"{node_type} bypassed", "workflow": read_workflow(name), "vue": vue, "bypass": bypass}
            yield {"name": f"{node_type} in first order", "workflow": first, "vue": vue}
            yield {"name": f"{node_type} in first order, bypassed", "workflow": first, "vue": vue, "bypass": bypass}


@pytest.fixture(scope="module")
def opened(server, tmp_path_factory):
    """By renderer and name, what the front end made of each case: its nodes, and the prompt that it would send."""
    folder = tmp_path_factory.mktemp("front_end")
    (folder / "cases.json").write_text(json.dumps(list(cases())))
    script = Path(__file__).with_name("front_end.js")
    command = [NODE, script, server.url, CHROMIUM, folder / "cases.json", folder]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=SECONDS, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_node_is_known(opened, name):
    assert all(node["known"] for node in opened["canvas"][name]["nodes"])


@pytest.mark.parametrize("name", [name for name in WORKFLOWS if name.endswith("sg-mini")])
def test_nothing_is_missing(opened, name):
    assert [node["type"] for node in opened["canvas"][name]["nodes"] if node["red"]] == []


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("name", WORKFLOWS)
def test_nodes_do_not_overlap(opened, name, renderer):
    nodes = opened[renderer][name]["nodes"]
    assert all(node["element"] == (renderer == "vue") for node in nodes), "this is not the renderer that was asked for"
    for a, b in itertools.combinations(nodes, 2):
        apart = any(
            first["pos"][axis] + first["size"][axis] <= second["pos"][axis] - TITLE * axis
            for first, second in ((a, b), (b, a))
            for axis in (0, 1)
        )
        assert apart, f"{a['type']} {a['id']} and {b['type']} {b['id']} overlap"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_links_run_from_left_to_right(name):
    workflow = read_workflow(name)
    column = {node["id"]: node["pos"][0] for node in workflow["nodes"]}
    kind = {node["id"]: node["type"] for node in workflow["nodes"]}
    back = [(kind[a], kind[b]) for _, a, _, b, _, _ in workflow["links"] if column[a] > column[b]]
    assert back == []


def prompts_of_sampler(case: dict[str, Any]) -> list[str]:
    """The titles of the nodes that a case's sampler gets its positive and its negative from."""
    prompt = case["prompt"]
    (sampler,) = [node["inputs"] for node in prompt.values() if node["class_type"] == "KSampler"]
    return [prompt[sampler[side][0]]["_meta"]["title"] for side in ("positive", "negative")]


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("saved", ["", " in first order,"])
@pytest.mark.parametrize("node_type", APPLY)
def test_a_bypassed_node_hands_each_prompt_to_its_own_side(opened, node_type, saved, renderer):
    assert prompts_of_sampler(opened[renderer][f"{node_type}{saved} bypassed"]) == ["Positive", "Negative"]


@pytest.mark.parametrize("renderer", RENDERERS)
@pytest.mark.parametrize("node_type", APPLY)
def test_a_workflow_with_inputs_in_their_first_order_is_the_same(opened, node_type, renderer):
    name, _ = APPLY[node_type]
    assert opened[renderer][f"{node_type} in first order"]["prompt"] == opened[renderer][name]["prompt"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_prompt_is_the_one_that_the_other_tests_run(opened, name, object_info):
    ours = api_prompt(read_workflow(name), object_info)
    theirs = {
        number: {key: node[key] for key in ("class_type", "inputs")}
        for number, node in opened["canvas"][name]["prompt"].items()
    }
    assert theirs == ours
