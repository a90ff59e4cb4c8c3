"""The protocol says what figures were measured with."""

from pathlib import Path

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


def test_nothing_is_downloaded_unless_that_is_asked_for():
    assert Source("openai/clip").pretrained() == {"use_safetensors": True, "local_files_only": True}
    assert Source("openai/clip", download=True).pretrained()["local_files_only"] is False
