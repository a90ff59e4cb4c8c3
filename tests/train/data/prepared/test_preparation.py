"""What prepare.py does with every data set: check pictures, crop, count, write, go on after an interruption."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.prepared import preparation
from train.data.prepared import visual_genome as vg
from train.data.prepared.picture_files import picture_size
from train.data.prepared.preparer import PrepareOptions
from train.data.prepared.preparers import PREPARERS, find_source
from train.data.prepared.records import RecordFile
from train.data.prepared.visual_genome_filter import Limits
from train.prepare import main
from train.running.command_line import UsageError, run


@pytest.fixture
def folder(visual_genome, monkeypatch) -> Path:
    """Three pictures to train on, one each to validate and to test on."""
    monkeypatch.setattr(vg, "Limits", lambda: Limits(names=1, predicates=1, attributes=1))
    for image_id, split in ((1, "train"), (2, "train"), (3, "train"), (4, "val"), (5, "test")):
        visual_genome.add_usual(image_id, split)
    return visual_genome.write()


def prepare(data: Path, dataset: str = "vg", **options):
    wanted = PrepareOptions(dataset, data, **options)
    return preparation.prepare(find_source(wanted), wanted)


def test_what_is_prepared_is_a_data_set(folder: Path):
    report = prepare(folder)
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {"train": 3, "val": 1, "test": 1}
    data = open_dataset(DatasetOptions(dataset="vg", data=folder))
    assert data.test_splits == ("test",) and data.large_area == pytest.approx(0.12)
    split = data.split("train", 2)
    assert [item.name for item in split.graphs[0].objects] == ["man", "horse", "tree"]
    assert split.graphs[0].objects[1].box == (0.3, 0.1, 0.6, 0.5)  # 110 to 170 of 300 pixels, cropped to 50 to 250
    (picture,) = split.pictures([0], 64).astype(int)
    colours = picture[32, [2, 32, 61]]
    assert (colours.argmax(1) == [0, 1, 2]).all()
    assert abs((picture[32].argmax(1) == 0).mean() - 0.25) < 0.03, "50 of the 100 red columns"


def test_what_was_prepared_is_written_down(folder: Path):
    report = prepare(folder)
    assert json.loads((folder / "prepared/vg/prepared.json").read_text())["sources"] == report["sources"]
    assert [source["file"] for source in report["sources"]][:2] == ["image_data.json", "objects.json"]
    assert report["sources"][1]["bytes"] == (folder / "objects.json").stat().st_size
    assert report["facts"] == {"names": 3, "predicates": 1, "attributes": 1}
    assert "CC BY 4.0" in report["licence"] and "Krishna" in report["attribution"]
    assert report["settings"]["limits"]["min_object_side"] == 32
    assert list(preparation.summary(report)) == [
        "train: 3 pictures, 9 objects, 3 relations",
        "val: 1 pictures, 3 objects, 1 relations",
        "test: 1 pictures, 3 objects, 1 relations",
    ]


def test_without_a_crop_the_picture_is_squashed(folder: Path):
    prepare(folder, crop="none")
    split = open_dataset(DatasetOptions(dataset="vg", data=folder)).split("train", 1)
    assert split.graphs[0].objects[1].box == pytest.approx((110 / 300, 0.1, 170 / 300, 0.5))
    (picture,) = split.pictures([0], 60).astype(int)
    assert abs((picture[30].argmax(1) == 0).mean() - 1 / 3) < 0.03


# Pictures


def test_missing_and_broken_pictures_are_counted(folder: Path):
    pictures = folder / "VG_100K"
    (pictures / "1.jpg").unlink()
    whole = (pictures / "2.jpg").read_bytes()
    (pictures / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (pictures / "4.jpg").rename(make_folder(folder / "VG_100K_2") / "4.jpg")
    report = prepare(folder)
    assert report["splits"]["train"]["left_out"] == {"picture": {"missing": 1, "truncated": 1}}
    assert [record.picture for record in RecordFile(folder / "prepared/vg", "train")] == ["VG_100K/3.jpg"]
    assert RecordFile(folder / "prepared/vg", "val")[0].picture == "VG_100K_2/4.jpg", "it lies in the other folder"


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp"])
def test_whole_pictures_are_told_from_truncated_ones(tmp_path, name: str):
    path = tmp_path / name
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)).save(path)
    whole = path.read_bytes()
    assert picture_size(path) == picture_size(path, decode=True) == (120, 90)
    path.write_bytes(whole + b"\0" * 100)
    assert picture_size(path) == (120, 90), "cameras append to pictures"
    path.write_bytes(whole[:-2000])
    assert isinstance(picture_size(path, decode=True), str)
    if name != "a.webp":
        assert isinstance(picture_size(path), str)
    path.write_bytes(b"<html>not found</html>")
    assert picture_size(path) == "not readable as a picture"


def test_annotations_are_trusted_without_pictures(folder: Path):
    for picture in (folder / "VG_100K").iterdir():
        picture.unlink()
    assert prepare(folder, pictures=False)["splits"]["train"]["pictures"] == 3


def test_an_empty_split_ends_in_a_sentence(folder: Path):
    (folder / "VG_100K" / "4.jpg").unlink()
    with pytest.raises(UsageError, match="no picture of the split 'val' stays: .*missing"):
        prepare(folder)


# Interruptions


def test_an_interrupted_preparation_goes_on_with_the_split_that_is_missing(folder: Path, monkeypatch):
    cropped, calls = preparation.cropped, []

    def interrupted(scene, *arguments):
        calls.append(scene.id)
        if scene.id == "4":
            raise KeyboardInterrupt
        return cropped(scene, *arguments)

    monkeypatch.setattr(preparation, "cropped", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(folder)
    left = sorted(path.name for path in (folder / "prepared/vg").iterdir())
    assert left == [".train.part.json", "train.index.npz", "train.jsonl"], "a half split leaves nothing"
    with pytest.raises(UsageError, match="run train/prepare.py first"):
        open_dataset(DatasetOptions(dataset="vg", data=folder))

    calls.clear()
    monkeypatch.setattr(preparation, "cropped", lambda scene, *rest: calls.append(scene.id) or cropped(scene, *rest))
    resumed = prepare(folder)
    assert calls == ["4", "5"]
    assert sorted(p.name for p in (folder / "prepared/vg").iterdir() if p.name.startswith(".")) == []
    assert resumed == prepare(folder, overwrite=True)


def test_other_options_do_not_go_on_with_what_is_there(folder: Path, monkeypatch):
    prepare(folder)
    (folder / "prepared/vg/prepared.json").unlink()
    part = {"fingerprint": "another", "split": {}}
    (folder / "prepared/vg/.train.part.json").write_text(json.dumps(part))
    assert prepare(folder)["splits"]["train"]["pictures"] == 3


def test_nothing_is_prepared_twice(folder: Path, monkeypatch):
    report = prepare(folder)
    source = find_source(PrepareOptions("vg", folder))
    idle = replace(source, read=lambda counts: pytest.fail("read again"))
    assert preparation.prepare(idle, PrepareOptions("vg", folder)) == report, "nothing is read"
    with pytest.raises(UsageError, match="with other options or from other files; write --overwrite"):
        prepare(folder, crop="none")
    assert prepare(folder, crop="none", overwrite=True)["settings"]["crop"] == "none"
    (folder / "prepared/vg/val.jsonl").unlink()
    assert prepare(folder)["splits"]["val"]["pictures"] == 1


def test_changed_files_are_noticed(folder: Path):
    prepare(folder)
    (folder / "relationship_alias.txt").write_text("on,at\n")
    with pytest.raises(UsageError, match="write --overwrite"):
        prepare(folder)


# The script


@pytest.fixture
def script(monkeypatch, capsys):
    """Runs the script with some arguments in this process; returns its exit code, its output and its errors."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["prepare.py", *map(str, arguments)])
        code = 0
        try:
            run(main, PrepareOptions)
        except SystemExit as end:
            code = end.code or 0
        return code, *capsys.readouterr()

    return call


def test_the_script_helps(script):
    code, help_, _ = script("--help")
    assert code == 0
    for word in ("--data", "--crop", "--no-pictures", "--overwrite", "--download", "vg-open"):
        assert word in help_


def test_the_script_prepares(visual_genome, script):
    for image_id, split in ((1, "train"), (4, "val"), (5, "test")):
        visual_genome.add_usual(image_id, split)
    data = visual_genome.write()
    code, said, errors = script("vg-open", "--data", data)
    assert code == 0, errors
    assert said.startswith("train: 1 pictures, 3 objects, 1 relations\n")
    split = open_dataset(DatasetOptions(dataset="vg-open", data=data)).split("val", 8)
    assert len(split.graphs) == 1 and split.pictures([0], 32).shape == (1, 32, 32, 3)


def test_mistakes_end_in_a_sentence(tmp_path, script):
    code, _, errors = script("vg", "--data", tmp_path)
    assert code == 2 and errors.startswith(f"error: {tmp_path} lacks image_data.json")
    with pytest.raises(UsageError, match="nothing prepares 'photos'; write one of: vg, vg-open"):
        find_source(PrepareOptions("photos", tmp_path))
    with pytest.raises(UsageError, match="there is no folder"):
        find_source(PrepareOptions("vg", tmp_path / "none"))


@pytest.mark.parametrize("name", PREPARERS)
def test_every_data_set_says_what_it_lacks(tmp_path, name: str):
    with pytest.raises(UsageError, match=str(tmp_path)):
        find_source(PrepareOptions(name, tmp_path))
