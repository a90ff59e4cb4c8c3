"""docs/published.md: its commands are read by the scripts, and measure miniatures of the real data sets, end to end."""

import importlib
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tyro
from pycocotools import mask as coco_mask

from sg_models.adapters.variants import SEVEN
from train.data.prepared import coco
from train.data.prepared.preparer import PrepareOptions
from train.evaluate import Config
from train.evaluate import main as evaluate
from train.prepare import main as prepare
from train.report import likeness
from train.report.likeness import DistanceTo

PAGE = Path(__file__).resolve().parents[2] / "docs" / "published.md"
PICTURES = 3  # of each split


def commands(script: str) -> list[list[str]]:
    """The arguments of every command of a script on the page."""
    found = re.findall(rf"python train/{script}\.py ([^`\n]*)", PAGE.read_text("utf-8"))
    return [shlex.split(arguments, comments=True) for arguments in found]


def test_every_variant_has_a_command_for_each_data_set():
    read = [tyro.cli(Config, args=arguments) for arguments in commands("evaluate") if "--adapter" in arguments]
    assert [(c.dataset, c.adapter) for c in read] == [(data, name) for data in ("vg", "coco") for name in SEVEN]
    assert all({"fid", "is", "lpips", "detector"} <= set(c.metrics) and c.graphs >= 2048 for c in read)
    assert all(c.json is not None and c.download_networks and not c.force for c in read)


@pytest.mark.parametrize(
    "script", ["train_structure_clip", "train_lora", "train_layout", "train_controlnet", "train_gsa"]
)
def test_the_commands_that_train_are_commands(script: str):
    options = importlib.import_module(f"train.{script}").Config
    read = [tyro.cli(options, args=arguments) for arguments in commands(script)]
    assert read and all((c.dataset, c.data, c.base) == ("vg", Path("data/vg"), "sd21-base") for c in read)


def test_the_commands_that_prepare_are_commands():
    read = [tyro.cli(PrepareOptions, args=arguments) for arguments in commands("prepare")]
    assert [(c.dataset, c.data) for c in read] == [("vg", Path("data/vg")), ("coco", Path("data/coco"))]


def write_coco(folder: Path, picture: Callable[..., None]) -> None:
    """Three people under a sky, in COCO's and COCO-Stuff's files."""
    (folder / "annotations").mkdir(parents=True)
    sky = np.zeros((240, 320), np.uint8)
    sky[:60] = 1
    packed = coco_mask.encode(np.asfortranarray(sky))
    run_lengths = {"size": packed["size"], "counts": packed["counts"].decode()}
    for part, count in (("train2017", PICTURES), ("val2017", 2 * PICTURES)):
        images = [{"id": i, "file_name": f"{i:012}.jpg", "width": 320, "height": 240} for i in range(count)]
        things, stuff = [], []
        for image in images:
            for x in (50, 130, 210):
                outline = [[x, 80, x + 60, 80, x + 60, 220, x, 220]]
                row = {"image_id": image["id"], "bbox": [x, 80, 60, 140], "category_id": 1, "segmentation": outline}
                things.append(row | {"id": len(things), "iscrowd": 0, "area": 8400})
            row = {"image_id": image["id"], "bbox": [0, 0, 320, 60], "category_id": 157, "segmentation": run_lengths}
            stuff.append(row | {"id": len(stuff), "iscrowd": 0, "area": 19200})
            picture(folder / part / image["file_name"], image["id"], (320, 240))
        for kind, rows, category in (
            ("instances", things, {"id": 1, "name": "person"}),
            ("stuff", stuff, {"id": 157, "name": "sky-other"}),
        ):
            content = {"images": images, "annotations": rows, "categories": [category]}
            (folder / "annotations" / f"{kind}_{part}.json").write_text(json.dumps(content))


@pytest.fixture
def prepared(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepared_visual_genome: Callable[[Path, int], Path],
    write_noise: Callable[..., None],
) -> Path:
    """The folder of a data set, prepared; what is held out for validation is less in a miniature."""
    folder = tmp_path / request.param
    if request.param == "vg":
        return prepared_visual_genome(folder, PICTURES)
    write_coco(folder, write_noise)
    monkeypatch.setattr(coco, "VALIDATION_PICTURES", PICTURES)
    prepare(PrepareOptions(request.param, folder))
    return folder


QUICK = {("vg", "iv"): "owl", ("coco", "vi"): "dino"}  # the others take as long again each
CASES = [
    pytest.param(data, name, QUICK.get((data, name), "owl"), marks=[] if (data, name) in QUICK else pytest.mark.slow)
    for data in ("vg", "coco")
    for name in SEVEN
]


@pytest.mark.parametrize(("prepared", "adapter", "detector"), CASES, indirect=["prepared"])
def test_a_command_measures_its_data_set(
    prepared: Path,
    adapter: str,
    detector: str,
    networks: Path,
    inception_file: Path,
    alexnet_file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
):
    """As it stands on the page, but for SG-Mini, fewer pictures, and random networks that are not downloaded."""
    monkeypatch.setattr(likeness, "frechet_distance", lambda features, true: DistanceTo(true)(features))  # in no time
    (arguments,) = [
        line for line in commands("evaluate") if {adapter, prepared.name} <= set(line) and "--adapter" in line
    ]
    config = tyro.cli(Config, args=arguments)
    config.base, config.data, config.graphs, config.steps, config.force = "sg-mini", prepared, 1000, 1, True
    config.feature_network, config.lpips_network, config.download_networks = inception_file, alexnet_file, False
    config.clip, config.detector = str(networks / "clip"), str(networks / detector)
    config.json, config.out = tmp_path / "found.json", tmp_path / "out"
    evaluate(config)
    written = json.loads(config.json.read_text())
    (figures,) = written["results"].values()
    assert list(figures) == list(dict.fromkeys(["i", adapter]))
    names = ["FID", "IS", "KID", "DS (LPIPS)", "CLIP score", "OOR", "relations by detector"]
    for of_variant in figures.values():
        assert list(of_variant) == names
        assert all(low <= value <= high for value, low, high in of_variant.values())
    assert written["protocol"]["splits"] == f"test: {PICTURES} graphs, {2 * PICTURES} pictures"
    assert "256 × 256" in written["protocol"]["size"] and "SHA-256" in written["protocol"]["feature network"]
    assert "(i) drawn with: base sg-mini" in capsys.readouterr().out
    again_from(config, written)


def again_from(config: Config, written: dict) -> None:
    """The pictures that were kept, measured without drawing, give the same figures."""
    config.pictures, config.out = config.out, None
    config.metrics = ("lpips", "clip")
    evaluate(config)
    again = json.loads(config.json.read_text())
    for split, variants in again["results"].items():
        for name, figures in variants.items():
            assert figures and figures == {key: written["results"][split][name][key] for key in figures}
    assert again["guidance"] == written["guidance"] and again["base"] == "sg-mini"
