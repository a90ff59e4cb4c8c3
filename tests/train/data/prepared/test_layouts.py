"""Layouts without pictures from VRD, VG-150 and V-COCO, in the original formats."""

import json
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState

from sg_models.adapters.adapter import read_adapter
from train import train_gsa, train_layout
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.prepared import layouts, sources_of_layouts
from train.data.prepared.hashed_split import for_validation, place_of, validation_names
from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import Counts, PrepareOptions, Scene
from train.data.prepared.sources_of_layouts import ACTIONS, MERGED, coco_size, read_v_coco, read_vg150, read_vrd
from train.running.command_line import UsageError

SHARED = Path(__file__).resolve().parents[5] / "shared" / "data"
SIZES = {"graph_dim": 16, "graph_hidden": 16, "graph_layers": 1, "box_layers": 1, "layout_width": 16, "channels": 4}


def write(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")


def vrd_relation(subject: list[int], predicate: int, object_: list[int]) -> dict[str, Any]:
    return {
        "predicate": predicate,
        "subject": {"category": 0, "bbox": subject},
        "object": {"category": 1, "bbox": object_},
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """All three in miniature."""
    vrd = tmp_path / "vrd"
    write(vrd / "objects.json", ["person", "horse"])
    write(vrd / "predicates.json", ["on", "on the left of"])
    row = vrd_relation([10, 30, 40, 60], 0, [20, 80, 20, 80])
    train = {f"{i}.jpg": [row] for i in range(40)}
    sizes = {name: {"width": 200, "height": 100} for name in train}
    write(vrd / "annotations_train.json", train | {"bare.jpg": [], "unknown.jpg": [row]})
    write(vrd / "train_image_metadata.json", sizes)
    write(vrd / "annotations_test.json", {"t.jpg": [row, vrd_relation([0, 50, 0, 40], 1, [0, 50, 0, 40])]})
    write(vrd / "test_image_metadata.json", {"t.jpg": {"width": 200, "height": 100}})
    vg = tmp_path / "vg150-images"
    things = [{"cls": 0, "bbox": [10, 20, 110, 220]}, {"cls": 1, "bbox": [0, 120, 200, 250]}]
    relations = [{"sub": 0, "obj": 1, "pred": [0, 1]}]
    write(vg / "objects.json", ["man", "horse"])
    for half, predicates in (("a", ["on a", "on", "rid"]), ("b", ["rid", "wear a", "on"])):
        write(vg / f"predicates_{half}.json", predicates)
        pictures = [f"VG_100K/{half}{i}.jpg" for i in range(20)]
        records = [[picture, {"objs": things, "rels": relations}] for picture in pictures]
        write(vg / f"annotations_{half}.json", [*records, None, ["VG_100K/x.jpg", {"objs": [], "rels": []}]])
    edges = {f"VG_100K/{half}{i}.jpg": [500, 400] for half in "ab" for i in range(20)}
    write(vg / "largest_box_edges.json", edges)
    for part in ("trainval", "test"):
        rows = [v_coco_row(f"COCO_{part}_{i}.jpg") for i in range(10)]
        empty = {"boxes_h": [], "boxes_o": [], "actions": [], "objects": [], "file_name": "COCO_empty.jpg"}
        file = {"classes": list(ACTIONS), "objects": ["background", "person", "horse"], "annotations": [*rows, empty]}
        write(tmp_path / "v-coco" / f"instances_vcoco_{part}.json", file)
    return tmp_path


def v_coco_row(name: str) -> dict[str, Any]:
    person, horse = [100.5, 50.0, 200.5, 300.0], [80.0, 150.0, 400.0, 470.0]
    ride, hold = list(ACTIONS).index("ride instr"), list(ACTIONS).index("hold obj")
    return {
        "boxes_h": [person, person, person],
        "boxes_o": [horse, horse, horse],
        "actions": [ride, hold, hold],
        "objects": [2, 2, 2],
        "file_name": name,
    }


def triples(scene: Scene) -> list[tuple[str, str, str]]:
    return [(scene.things[s].name, predicate, scene.things[o].name) for s, predicate, o in scene.relations]


def test_vrds_boxes_are_ymin_ymax_xmin_xmax(data: Path):
    counts = Counts()
    scene, *others = read_vrd(data / "vrd", "train", counts)
    assert [item.box for item in scene.things] == [(40, 10, 60, 30), (20, 20, 80, 80)]
    assert scene.size == (200, 100) and triples(scene) == [("person", "on", "horse")] and len(others) == 39
    assert counts.to_dict() == {"picture": {"no object": 1, "no size is known": 1}}


def test_vrds_relations_of_an_object_with_itself_are_counted(data: Path):
    rows = json.loads((data / "vrd/annotations_test.json").read_text())
    rows["t.jpg"][1]["object"]["category"] = 0
    write(data / "vrd/annotations_test.json", rows)
    counts = Counts()
    (scene,) = read_vrd(data / "vrd", "test", counts)
    assert triples(scene) == [("person", "on", "horse")]
    assert counts.to_dict() == {"relation": {"an object joined to itself": 1}}


def test_a_box_without_area_costs_its_object_and_relations(data: Path):
    rows = json.loads((data / "vrd/annotations_test.json").read_text())
    rows["t.jpg"][1]["object"]["bbox"] = [5, 5, 0, 40]
    write(data / "vrd/annotations_test.json", rows)
    counts = Counts()
    (scene,) = read_vrd(data / "vrd", "test", counts)
    assert [item.name for item in scene.things] == ["person", "horse", "person"]
    assert counts.left_out("box", "no area") == counts.left_out("object") == counts.left_out("relation") == 1


def test_each_file_of_vg150_has_its_own_predicates_and_the_same_ones_are_one(data: Path):
    counts = Counts()
    scenes = list(read_vg150(data / "vg150-images", counts))
    assert len(scenes) == 40 and scenes[0].size == (500, 400)
    assert scenes[0].things[0].box == pytest.approx((10, 20, 110, 220))
    assert triples(scenes[0]) == [("man", "on", "horse")]
    assert triples(scenes[20]) == [("man", "ride", "horse"), ("man", "wear", "horse")]
    assert counts.to_dict() == {"picture": {"no object": 4}, "relation": {"one that an earlier one says": 20}}


def test_v_coco_joins_a_person_to_what_it_does_something_with(data: Path):
    counts = Counts()
    scene, *others = read_v_coco(data / "v-coco", "trainval", counts)
    assert [item.name for item in scene.things] == ["person", "horse"] and len(others) == 9
    assert triples(scene) == [("person", "ride", "horse"), ("person", "hold", "horse")]
    assert scene.things[0].box == (100.5, 50.0, 200.5, 300.0)
    assert counts.to_dict() == {
        "picture": {"no pair of a person and an object": 1},
        "relation": {"one that an earlier one says": 10},
    }


@pytest.mark.parametrize(
    ("right", "bottom", "size"),
    [(600, 400, (640, 480)), (400, 600, (480, 640)), (600, 600, (640, 640)), (300, 300, (640, 480))],
)
def test_sizes_of_coco_are_estimated_from_boxes(right: float, bottom: float, size: tuple[int, int]):
    assert coco_size([(0, 0, 10, bottom), (0, 0, right, 10)]) == size


def test_graphs_with_more_objects_than_a_layout_takes_are_left_out(data: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sources_of_layouts, "MOST_OBJECTS", 1)
    counts = Counts()
    assert not list(read_v_coco(data / "v-coco", "test", counts))
    assert counts.left_out("picture", "more than 1 objects") == 10


def prepared(data: Path, **changes: Any) -> dict[str, Any]:
    options = PrepareOptions("layouts", data, **changes)
    return prepare(layouts.prepare(options), options)


def test_all_are_merged_and_their_tests_are_the_test(data: Path):
    report = prepared(data, crop="none")
    sizes = {name: split["pictures"] for name, split in report["splits"].items()}
    assert sizes["train"] + sizes["val"] == 40 + 40 + 10 and sizes["test"] == 1 + 10 and sizes["val"] >= 3
    assert report["facts"] == {"from": ["vrd", "vg150-images", "v-coco"], "test": "the test splits of vrd, v-coco"}
    # what is left out of all of them is counted once, though two splits are read from them
    assert report["splits"]["train"]["left_out"]["picture"]["no pair of a person and an object"] == 1
    dataset = open_dataset(DatasetOptions("layouts", data))
    ids = {name: {r.id for r in dataset.split(name, 1000).records} for name in ("train", "val", "test")}
    assert dataset.test_splits == ("test",) and not ids["train"] & ids["val"]
    assert not any("COCO_test" in i for i in ids["train"] | ids["val"]) and "vrd/t.jpg" in ids["test"]
    assert all(for_validation(i) for i in ids["val"]) and not any(map(for_validation, ids["train"]))


def test_one_of_them_is_enough(data: Path):
    for name in ("vrd", "v-coco"):
        (data / name).rename(data / f"not {name}")
    report = prepared(data)
    assert list(report["splits"]) == ["train", "val"] and report["facts"]["test"].startswith("val: VRD and V-COCO")
    assert "CC BY 4.0" in report["licence"] and "VRD" not in report["licence"]


def test_missing_files_end_in_a_sentence(data: Path):
    (data / "vg150-images/predicates_b.json").unlink()
    with pytest.raises(UsageError, match="lacks vg150-images/predicates_b.json"):
        prepared(data)
    with pytest.raises(UsageError, match="none of the folders vrd, vg150-images, v-coco"):
        prepared(data / "vrd")


def test_a_layout_trains_on_them_and_nothing_else_does(data: Path, sg_mini_checkpoint: Path, tmp_path: Path):
    prepared(data)
    common = {"base": str(sg_mini_checkpoint), "dataset": "layouts", "data": data, "steps": 2, "batch_size": 4}
    AcceleratorState._reset_state(True)
    train_layout.main(train_layout.Config(**common, run_dir=tmp_path / "run", **SIZES))
    assert read_adapter(tmp_path / "run" / "layout.safetensors").dataset == "layouts"
    config = train_gsa.Config(**common, run_dir=tmp_path / "gsa", latents_dir=tmp_path / "latents")
    with pytest.raises(UsageError, match="layouts has boxes and no pictures: it trains layouts alone, train_layout.py"):
        train_gsa.main(config)


def test_a_tenth_of_the_names_validates_and_at_least_one():
    names = [f"picture {i}" for i in range(2000)]
    assert 0.08 < sum(map(for_validation, names)) / len(names) < 0.12
    assert len(validation_names(names[:2])) == 1 and all(0 <= place_of(name) < 1 for name in names)


@pytest.mark.skipif(not (SHARED / "vrd").is_dir(), reason=f"needs the data sets in {SHARED}")
def test_the_real_files_give_as_many_layouts_as_they_say():
    """As SOURCE.txt counts: VRD's test split has 955 pictures with relations, of which one has no size."""
    counts = Counts()
    scenes = list(read_vrd(SHARED / "vrd", "test", counts))
    assert len(scenes) + counts.left_out("picture", "no size is known") == 955
    predicates = {
        name for half in "ab" for name in json.loads((SHARED / f"vg150-images/predicates_{half}.json").read_text())
    }
    assert MERGED.keys() <= predicates
    for part, pictures in (("trainval", 4969), ("test", 4532)):
        assert len(list(read_v_coco(SHARED / "v-coco", part, counts))) == pictures
