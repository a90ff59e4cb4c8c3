"""The shipped workflows in ComfyUI's real front end, where Chromium and playwright-core are at hand."""

import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from comfyui_host import PACK, REPOSITORY
from ui_to_api import api_prompt

WORKFLOWS = sorted(path.stem for path in (REPOSITORY / "workflows").glob("*.json"))
NODE = shutil.which("node")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TITLE = 30  # pixels of a node above its position
SECONDS = 300


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


@pytest.fixture(scope="module")
def opened(server, tmp_path_factory):
    """Every workflow as the front end opened it: its nodes, and the prompt that it would send."""
    folder = tmp_path_factory.mktemp("front_end")
    script = Path(__file__).with_name("front_end.js")
    command = [NODE, script, server.url, CHROMIUM, PACK, folder, *WORKFLOWS]
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, timeout=SECONDS, env=os.environ
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_node_is_known(opened, name):
    assert all(node["known"] for node in opened[name]["nodes"])


@pytest.mark.parametrize("name", [name for name in WORKFLOWS if name.endswith("sg-mini")])
def test_nothing_is_missing(opened, name):
    assert [node["type"] for node in opened[name]["nodes"] if node["red"]] == []


@pytest.mark.parametrize("name", WORKFLOWS)
def test_nodes_do_not_overlap(opened, name):
    for a, b in itertools.combinations(opened[name]["nodes"], 2):
        apart = any(
            first["pos"][axis] + first["size"][axis] <= second["pos"][axis] - TITLE * axis
            for first, second in ((a, b), (b, a))
            for axis in (0, 1)
        )
        assert apart, f"{a['type']} {a['id']} and {b['type']} {b['id']} overlap"


@pytest.mark.parametrize("name", WORKFLOWS)
def test_prompt_is_the_one_that_the_other_tests_run(opened, name, object_info):
    workflow = json.loads((REPOSITORY / "workflows" / f"{name}.json").read_text())
    ours = api_prompt(workflow, object_info)
    theirs = {
        number: {key: node[key] for key in ("class_type", "inputs")} for number, node in opened[name]["prompt"].items()
    }
    assert theirs == ours
