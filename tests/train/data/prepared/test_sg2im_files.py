"""sg2im's own HDF5 files, read as they are."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest

from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import Counts, PrepareOptions
from train.data.prepared.preparers import find_source
from train.data.prepared.records import RecordFile
from train.running.command_line import UsageError

VOCABULARY = {
    "object_idx_to_name": ["__image__", "man", "horse", "tree"],
    "pred_idx_to_name": ["__in_image__", "on", "near"],
    "attribute_idx_to_name": ["brown", "tall", "wet"],
}
MOST = 30


def pad(rows: list, count: int = MOST, filler: object = -1) -> list:
    return rows + [filler] * (count - len(rows))


def write_h5(path: Path, first_id: int) -> None:
    """Two images: a man on a brown, wet horse; a tall tree near a man, and what sg2im makes up."""
    columns = {
        "image_ids": [first_id, first_id + 1],
        "object_names": [pad([1, 2]), pad([3, 1, 0])],
        "object_boxes": [
            pad([[100, 20, 50, 80], [110, 40, 60, 100]], filler=[-1] * 4),
            pad([[60, 0, 40, 200], [120, 100, 50, 90], [0, 0, 300, 200]], filler=[-1] * 4),
        ],
        "objects_per_image": [2, 3],
        "relationship_subjects": [pad([0]), pad([0, 0, 1])],
        "relationship_predicates": [pad([1]), pad([2, 0, 0])],
        "relationship_objects": [pad([1]), pad([1, 2, 2])],
        "relationships_per_image": [1, 3],
        "attributes_per_object": [pad([0, 2]), pad([1, 0, 0])],
        # a row per object of all images, not per image
        "object_attributes": [pad([]), pad([0, 2]), pad([1]), pad([]), pad([])],
    }
    with h5py.File(path, "w") as file:
        for name, rows in columns.items():
            file[name] = np.array(rows, np.int32)
        paths = [f"VG_100K/{first_id}.jpg", f"VG_100K_2/{first_id + 1}.jpg"]
        file.create_dataset("image_paths", data=paths, dtype=h5py.string_dtype())


@pytest.fixture
def folder(tmp_path) -> Path:
    for split, first_id in (("train", 1), ("val", 11), ("test", 21)):
        write_h5(tmp_path / f"{split}.h5", first_id)
    (tmp_path / "vocab.json").write_text(json.dumps(VOCABULARY))
    return tmp_path


def write_sizes(folder: Path) -> None:
    ids = (1, 2, 11, 12, 21, 22)
    (folder / "image_data.json").write_text(json.dumps([{"image_id": i, "width": 300, "height": 200} for i in ids]))


def test_attributes_are_those_of_the_image(folder: Path, monkeypatch):
    """Also across the parts in which the file is read."""
    write_sizes(folder)
    for at_once in (1024, 1):
        monkeypatch.setattr("train.data.prepared.sg2im_files.IMAGES_AT_ONCE", at_once)
        splits = find_source(PrepareOptions("vg", folder)).read(Counts())
        first, second = splits["val"].scenes(Counts())
        assert [(t.name, t.attributes) for t in first.things] == [("man", ()), ("horse", ("brown", "wet"))]
        assert [(t.name, t.attributes) for t in second.things] == [("tree", ("tall",)), ("man", ())]


def test_boxes_names_and_relations(folder: Path):
    write_sizes(folder)
    counts = Counts()
    splits = find_source(PrepareOptions("vg", folder)).read(counts)
    first, second = splits["train"].scenes(counts)
    assert (first.id, first.size, first.picture) == ("1", (300, 200), "VG_100K/1.jpg")
    assert first.things[1].box == (110, 40, 170, 140) and first.relations == [(0, "on", 1)]
    assert second.picture == "VG_100K_2/2.jpg" and second.relations == [(0, "near", 1)]
    assert counts.to_dict() == {
        "object": {"__image__, which stands for the picture": 1},
        "relation": {"__in_image__, which joins objects to the picture": 2},
    }


def test_sizes_are_read_off_the_pictures_where_no_file_has_them(folder: Path, make_picture):
    for i in (1, 2, 11, 12, 21, 22):
        make_picture(folder / ("VG_100K" if i % 10 == 1 else "VG_100K_2") / f"{i}.jpg", (300, 200))
    options = PrepareOptions("vg", folder)
    report = prepare(find_source(options), options)
    assert report["settings"]["from"] == "sg2im's HDF5 files"
    record = RecordFile(folder / "prepared/vg", "test")[0]
    assert record.graph.objects[1].box == pytest.approx((0.3, 0.2, 0.6, 0.7))


def test_without_pictures_sizes_must_be_known(folder: Path):
    options = PrepareOptions("vg", folder, pictures=False)
    with pytest.raises(UsageError, match="only the picture tells"):
        prepare(find_source(options), options)
    write_sizes(folder)
    assert prepare(find_source(options), options)["splits"]["train"]["pictures"] == 2


def test_numbers_that_stand_for_nothing_are_left_out(folder: Path):
    write_sizes(folder)
    with h5py.File(folder / "train.h5", "r+") as file:
        file["object_names"][0, 0] = 99
        file["relationship_predicates"][1, 0] = 99
    options = PrepareOptions("vg", folder, pictures=False)
    left_out = prepare(find_source(options), options)["splits"]["train"]["left_out"]
    assert left_out["object"]["no name a graph can hold"] == 1
    assert left_out["relation"]["no predicate a graph can hold"] == 1
    assert left_out["relation"]["an end that was left out"] == 1


def test_other_files_are_said(folder: Path):
    (folder / "val.h5").write_bytes(b"none")
    with pytest.raises(UsageError, match="val.h5 is not what sg2im's preprocess_vg.py writes"):
        find_source(PrepareOptions("vg", folder)).read(Counts())
    (folder / "vocab.json").write_text("{}")
    with pytest.raises(UsageError, match="vocab.json is not the vocab.json that sg2im"):
        find_source(PrepareOptions("vg", folder))
