"""The protocol says what figures were measured with."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.report import network_files
from train.report.network_files import Source, fingerprint
from train.report.protocol import Protocol

DRAWN = {"base": "sg-mini", "steps": 25, "guidance": 2.0}


def protocol() -> Protocol:
    return Protocol(
        "coco (COCO-Stuff)",
        {"test": 2048},
        2,
        256,
        {"vi": DRAWN, "theirs": None},
        {"feature network": "InceptionV3, inception.pth, SHA-256 abc"},
        {"test": {"vi": {"pictures compared": "4096 drawn with 2048 true"}}},
    )


def test_everything_that_decides_about_a_figure_is_said():
    text = protocol().text()
    for words in (
        "data set: coco (COCO-Stuff)",
        "test: 2048 graphs, 4096 pictures",
        "256 × 256 pixels; Lanczos",
        "(vi) drawn with: base sg-mini, steps 25, guidance 2.0",
        "(theirs) drawn with: nobody said",
        "feature network: InceptionV3, inception.pth, SHA-256 abc",
        "test, (vi), pictures compared: 4096 drawn with 2048 true",
    ):
        assert words in text, words


def test_the_json_says_the_same():
    written = protocol().to_dict()
    assert written["notes"] == protocol().notes
    assert {name: words for name, words in written.items() if name != "notes"} == protocol().lines()


def test_weights_are_known_by_their_sha256(tmp_path: Path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"abc")
    digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert fingerprint(path) == f"SHA-256 {digest}"
    assert Source(str(path)).words() == f"{path}, SHA-256 {digest}"
    assert "hub" in Source("openai/clip-vit-large-patch14").words()


NO_NETWORK = """
import socket, sys
def refuse(*args, **more):
    print("asked for", args[:1]); raise OSError("no network")
socket.getaddrinfo = socket.socket.connect = refuse
from train.report.clip_score import ClipNetwork
from train.report.detectors import open_detector
from train.report.network_files import Source
from train.report.vision_language_model import VisionLanguageModel
from train.running.command_line import UsageError
for opened in (open_detector, ClipNetwork, VisionLanguageModel):
    try:
        opened(Source("nobody/nothing"))
    except UsageError as error:
        print(error)
"""


def test_no_hub_is_asked_unless_a_download_is_asked_for():
    environment = {name: value for name, value in os.environ.items() if name != "HF_HUB_OFFLINE"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[3])
    done = subprocess.run([sys.executable, "-c", NO_NETWORK], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("nobody/nothing here") == 3 and "asked for" not in done.stdout


def test_what_an_earlier_download_left_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(network_files, "snapshot_download", lambda name, local_files_only: f"kept/{name}")
    assert Source("openai/clip").loadable() == "kept/openai/clip"
    assert Source("openai/clip", download=True).loadable() == "openai/clip"
    assert Source(str(tmp_path)).loadable() == str(tmp_path)
