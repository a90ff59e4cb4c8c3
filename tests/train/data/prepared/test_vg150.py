"""VG-150 from its published form, in miniature."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import Counts, PrepareOptions
from train.data.prepared.preparers import find_source
from train.running.command_line import UsageError

WORDS = {
    "idx_to_label": {"1": "man", "2": "horse"},
    "idx_to_predicate": {"1": "on", "2": "near"},
    "idx_to_attribute": {"1": "brown", "2": "tall"},
}
IDS = (10, 1592, 20, 30, 40, 50)  # 1592 is one of the broken pictures, which the HDF5 file does not have
SPLIT = (0, 0, 0, 2, 2)


def write(folder: Path, attributes: bool = True) -> Path:
    """Five images: three to train, one of them without relations, and two to test. Boxes are those of `boxes`."""
    suffix = "-with-attri" if attributes else ""
    images = [{"image_id": i, "width": 512, "height": 384, "url": f"https://x/VG_100K/{i}.jpg"} for i in IDS]
    (folder / "image_data.json").write_text(json.dumps(images))
    (folder / f"VG-SGG-dicts{suffix}.json").write_text(json.dumps(WORDS))
    first = np.arange(0, 10, 2)
    with h5py.File(folder / f"VG-SGG{suffix}.h5", "w") as file:
        file["split"] = np.array(SPLIT, np.int32)
        file["boxes_1024"] = np.array([[400, 200, 100, 200], [600, 300, 200, 100]] * 5, np.int32)
        file["labels"] = np.array([[1], [2]] * 5)
        file["img_to_first_box"], file["img_to_last_box"] = first, first + 1
        file["img_to_first_rel"], file["img_to_last_rel"] = np.array([0, 2, -1, 3, 4]), np.array([1, 2, -1, 3, 4])
        file["relationships"] = np.array([[0, 1], [0, 1], [3, 2], [6, 7], [8, 9]])
        file["predicates"] = np.array([[1], [1], [2], [1], [2]])
        if attributes:
            file["attributes"] = np.array([[0] * 10, [1, 2] + [0] * 8] * 5)
    return folder


def scenes(folder: Path, counts: Counts) -> dict[str, list]:
    splits = find_source(PrepareOptions("vg150", folder)).read(counts)
    return {name: list(split.scenes(counts)) for name, split in splits.items()}


@pytest.fixture(autouse=True)
def one_to_validate(monkeypatch) -> None:
    monkeypatch.setattr("train.data.prepared.vg150.VALIDATION_IMAGES", 1)


def test_splits_are_the_published_ones(tmp_path):
    counts = Counts()
    read = scenes(write(tmp_path), counts)
    assert {name: [scene.id for scene in found] for name, found in read.items()} == {
        "train": ["20"],
        "val": ["10"],
        "test": ["40", "50"],
    }
    assert counts.to_dict() == {"picture": {"no relations": 1}, "relation": {"said twice": 1}}


def test_boxes_are_centres_at_1024(tmp_path):
    (scene,) = scenes(write(tmp_path), Counts())["train"]
    assert (scene.size, scene.picture) == ((512, 384), "VG_100K/20.jpg")
    assert [(t.name, t.box, t.attributes) for t in scene.things] == [
        ("man", (175, 50, 225, 150), ()),
        ("horse", (250, 125, 350, 175), ("brown", "tall")),
    ]
    assert scene.relations == [(1, "near", 0)]


def test_files_without_attributes_are_read(tmp_path):
    (scene,) = scenes(write(tmp_path, attributes=False), Counts())["train"]
    assert [t.attributes for t in scene.things] == [(), ()]


def test_it_is_prepared(tmp_path):
    options = PrepareOptions("vg150", write(tmp_path), pictures=False)
    report = prepare(find_source(options), options)
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {"train": 1, "val": 1, "test": 2}
    assert report["facts"] == {"names": 2, "predicates": 2, "attributes": 2}


def test_what_does_not_belong_together_is_said(tmp_path):
    folder = write(tmp_path)
    (folder / "image_data.json").write_text("[]")
    with pytest.raises(UsageError, match="has 0 images besides the four broken ones, the HDF5 file 5"):
        scenes(folder, Counts())
    (folder / "VG-SGG-with-attri.h5").write_bytes(b"half")
    with pytest.raises(UsageError, match="VG-SGG-with-attri.h5 is not VG-150's file, or not whole"):
        scenes(folder, Counts())
    (folder / "VG-SGG-dicts-with-attri.json").unlink()
    with pytest.raises(UsageError, match="lacks VG-150's files"):
        scenes(folder, Counts())
