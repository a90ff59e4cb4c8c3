"""A folder of one's own: pictures with graphs of the same name, in whatever format the pack reads."""

import json
from pathlib import Path
from typing import Any

import pytest
from accelerate.state import AcceleratorState
from PIL import Image

from sg_models.adapters.adapter import read_adapter
from train import train_layout
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.prepared import own_folder
from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import PrepareOptions
from train.running.command_line import UsageError

SIZES = {"graph_dim": 16, "graph_hidden": 16, "graph_layers": 1, "box_layers": 1, "layout_width": 16, "channels": 4}
BOXED = {
    "objects": [{"name": "dog", "box": [0.25, 0.5, 0.75, 1.0]}, {"name": "sky", "box": [0, 0, 1, 0.25]}],
    "relations": [{"subject": 0, "predicate": "below", "object": 1}],
}


def add(data: Path, name: str, graph: Any = BOXED, size: tuple[int, int] = (40, 40)) -> None:
    Image.new("RGB", size, (60, 90, len(name))).save(data / name)
    text = graph if isinstance(graph, str) else json.dumps(graph, ensure_ascii=False)
    (data / name).with_suffix(".txt" if isinstance(graph, str) else ".json").write_text(text, "utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Ten pictures."""
    for i in range(10):
        add(tmp_path, f"picture {i}.{('jpg', 'png', 'webp', 'jpeg')[i % 4]}")
    return tmp_path


def prepared(data: Path, **changes: Any) -> dict[str, Any]:
    options = PrepareOptions("folder", data, **{"crop": "none"} | changes)
    return prepare(own_folder.prepare(options), options)


def graphs_of(data: Path) -> dict[str, Any]:
    dataset = open_dataset(DatasetOptions("folder", data))
    splits = [dataset.split(name, 100) for name in ("train", "val")]
    return {split.records[i].id: split.graphs[i] for split in splits for i in range(len(split.graphs))}


def test_ten_pictures_suffice_and_validation_is_the_test(data: Path):
    report = prepared(data)
    sizes = {name: split["pictures"] for name, split in report["splits"].items()}
    assert sizes.keys() == {"train", "val"} and sum(sizes.values()) == 10 and sizes["val"] >= 1
    assert report["facts"]["test"].startswith("val: ")
    assert open_dataset(DatasetOptions("folder", data)).test_splits == ("val",)


def test_a_picture_keeps_its_split_whatever_comes_beside_it(data: Path):
    prepared(data)
    before = {r.id for r in open_dataset(DatasetOptions("folder", data)).split("train", 100).records}
    for i in range(10, 30):
        add(data, f"picture {i}.png")
    prepared(data, overwrite=True)
    after = {r.id for r in open_dataset(DatasetOptions("folder", data)).split("train", 100).records}
    assert before < after


def test_graphs_are_read_in_any_format_with_boxes_in_the_pictures_pixels(data: Path):
    pixels = {
        "image_id": 1,
        "objects": [{"object_id": 5, "names": ["Zürcher Hündchen"], "x": 20, "y": 10, "w": 40, "h": 20}],
        "relationships": [],
    }
    add(data, "vg.png", pixels, (80, 40))
    add(data, "lines.jpg", "brown dog | on | motorcycle")
    add(data, "sg2im.jpg", {"objects": ["sky", "zebra"], "relationships": [[0, "above", 1]]})
    prepared(data)
    graphs = graphs_of(data)
    (dog,) = graphs["vg.png"].objects
    assert (dog.name, dog.box) == ("Zürcher Hündchen", (0.25, 0.25, 0.75, 0.75))
    assert [item.box for item in graphs["lines.jpg"].objects] == [None, None]
    assert [r.predicate for r in graphs["sg2im.jpg"].relations] == ["above"]


def test_what_has_no_partner_or_is_broken_is_counted_and_named(data: Path):
    Image.new("RGB", (9, 9)).save(data / "alone.png")
    (data / "lonely.json").write_text(json.dumps(BOXED))
    add(data, "prose.jpg", "|")
    add(data, "several.jpg", [BOXED, BOXED])
    add(data, "twice.jpg", "dog")
    (data / "twice.json").write_text(json.dumps(BOXED))
    add(data, "broken.jpg")
    (data / "broken.jpg").write_bytes(b"\xff\xd8")
    turned = Image.Exif()
    turned[0x0112] = 6
    add(data, "turned.jpg")
    Image.new("RGB", (40, 30)).save(data / "turned.jpg", exif=turned)
    report = prepared(data)
    assert report["left_out"] == {
        "graph": {
            "a graph that cannot be read": 2,
            "a graph without a picture": 1,
            "a second file of the same name": 1,
        },
        "picture": {
            "a picture without a graph": 1,
            "not readable as a picture": 1,
            "turned by its EXIF data: save it upright": 1,
        },
    }
    facts = report["facts"]
    assert facts["a picture without a graph"] == ["alone.png"]
    assert facts["a graph without a picture"] == ["lonely.json"]
    assert any("several.json" in said and "2 scene graphs" in said for said in facts["a graph that cannot be read"])
    assert graphs_of(data)["twice.jpg"].objects[0].box is not None, "of two graphs, the first by name is taken"


def test_broken_rows_are_counted_and_cost_no_graph(data: Path):
    rows = {
        "image_id": 1,
        "objects": [
            {"object_id": 5, "names": ["dog"], "x": 20, "y": 10, "w": 0, "h": 20},
            {"object_id": 6, "names": ["cat"], "x": 20, "y": 10, "w": 20, "h": 20},
        ],
        "relationships": [{"subject_id": 6, "predicate": "near", "object_id": 6}],
    }
    add(data, "rows.jpg", rows)
    report = prepared(data)
    assert report["left_out"]["box"] == {"no area": 1}
    assert report["left_out"]["relation"] == {"an object joined to itself": 1}
    assert any(said.startswith("rows.json: left out 1 box") for said in report["facts"]["parts of graphs"])


def test_nothing_to_prepare_ends_in_a_sentence(tmp_path: Path):
    with pytest.raises(UsageError, match="0 pictures and 0 graphs, and none of the same name"):
        own_folder.prepare(PrepareOptions("folder", tmp_path))
    add(tmp_path, "one.jpg")
    with pytest.raises(UsageError, match="1 of the pictures .* one to train on and one to validate with"):
        prepared(tmp_path)


def test_it_is_prepared_anew_only_where_something_changed(data: Path):
    first = prepared(data)
    assert prepared(data) == first
    (data / "picture 0.json").write_text(json.dumps({"objects": [{"name": "cat"}]}))
    with pytest.raises(UsageError, match="--overwrite"):
        prepared(data)


def test_latents_are_told_apart_where_a_later_picture_came_in_or_is_gone(data: Path):
    """Latents are kept by place: with one picture fewer, all after it would have another picture's."""
    for i in range(10, 40):
        add(data, f"picture {i}.png")
    prepared(data)
    whole = open_dataset(DatasetOptions("folder", data)).split("train", 100)
    records, before = [whole.records[place].id for place in range(len(whole.graphs))], whole.fingerprint()
    assert len(records) > 20
    for path in data.glob(f"{Path(records[-2]).stem}.*"):
        path.unlink()
    prepared(data, overwrite=True)
    fewer = open_dataset(DatasetOptions("folder", data)).split("train", 100)
    assert [fewer.records[place].id for place in range(len(fewer.graphs))] == [*records[:-2], records[-1]]
    assert fewer.fingerprint() != before


def test_a_layout_trains_on_it(data: Path, sg_mini_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory):
    prepared(data)
    AcceleratorState._reset_state(True)
    run = tmp_path_factory.mktemp("run")
    config = train_layout.Config(
        base=str(sg_mini_checkpoint), dataset="folder", data=data, steps=2, batch_size=4, run_dir=run, **SIZES
    )
    train_layout.main(config)
    assert read_adapter(run / "layout.safetensors").dataset == "folder"


def test_without_any_box_a_layout_ends_in_a_sentence(tmp_path: Path, sg_mini_checkpoint: Path):
    for i in range(10):
        add(tmp_path, f"{i}.png", "dog | on | street")
    prepared(tmp_path)
    AcceleratorState._reset_state(True)
    config = train_layout.Config(base=str(sg_mini_checkpoint), dataset="folder", data=tmp_path, steps=2, **SIZES)
    with pytest.raises(UsageError, match="have no boxes, which layouts are learned from"):
        train_layout.main(config)
