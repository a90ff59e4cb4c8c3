"""The real ComfyUI as these tests meet it: where it is, what runs it, and a server that answers."""

import json
import os
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
PACK = "scene-graph-conditioning"
COMFYUI = Path(os.environ.get("COMFYUI_PATH") or Path.home() / "comfy" / "ComfyUI")
NO_COMFYUI = (
    "no ComfyUI at COMFYUI_PATH or ~/comfy/ComfyUI; get one with: "
    "pip install comfy-cli && comfy --skip-prompt install --cpu"
)
INTERPRETERS = (".venv/bin/python", "venv/bin/python", ".venv/Scripts/python.exe", "venv/Scripts/python.exe")
PROMPT_SECONDS = 180


def comfyui_python() -> str:
    """The interpreter that has ComfyUI's requirements."""
    if named := os.environ.get("COMFYUI_PYTHON"):
        return named
    candidates = (COMFYUI / place for place in INTERPRETERS)
    return next((str(python) for python in candidates if python.is_file()), sys.executable)


@dataclass
class Server:
    """A running ComfyUI."""

    url: str
    log_file: Path
    base: Path

    def picture(self, file: dict[str, str]) -> Path:
        """Where a picture is that a history names."""
        return self.base / file["type"] / file["subfolder"] / file["filename"]

    def get(self, path: str) -> Any:
        """The decoded JSON of a GET request."""
        return json.loads(self.get_text(path))

    def get_text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return response.read().decode()

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and decoded JSON of a POST request."""
        request = urllib.request.Request(
            self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return response.status, json.loads(response.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def run(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """Runs a prompt in API format and returns its history entry, whether it failed or not."""
        status, answer = self.post("/prompt", {"prompt": prompt})
        assert status == 200 and not answer["node_errors"], answer
        deadline = time.monotonic() + PROMPT_SECONDS
        while time.monotonic() < deadline:
            history = self.get(f"/history/{answer['prompt_id']}")
            if history:
                return history[answer["prompt_id"]]
            time.sleep(0.1)
        raise TimeoutError(f"the prompt took over {PROMPT_SECONDS} s")
