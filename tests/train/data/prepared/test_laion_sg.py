"""LAION-SG: graphs without boxes, and boxes for them from a trained layout."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from sg_models.adapters.adapter import Adapter, AdapterError, write_adapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.variants import LAYOUT
from train.data.dataset import knows_boxes
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.prepared import laion_sg
from train.data.prepared.placing import placed
from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import Counts, PrepareOptions
from train.running.command_line import UsageError

LAYOUT_SIZES = {
    "phrase_dim": 128,
    "graph_dim": 16,
    "graph_hidden": 16,
    "graph_layers": 1,
    "box_layers": 1,
    "objects": 3,
    "layout_width": 16,
    "channels": 4,
}


def record(number: int, **changes: Any) -> dict[str, Any]:
    items = [
        {"item_id": 0, "label": "dog", "attributes": ["brown", "wet"], "global_item_id": 10 * number},
        {"item_id": 1, "label": "Straße", "attributes": [], "global_item_id": 10 * number + 1},
    ]
    relations = [{"triple_id": 0, "item1": 0, "relation": "running along", "item2": 1, "global_relation_id": number}]
    return {
        "img_id": number,
        "name": f"{number}.jpg",
        "caption_ori": "a dog",
        "score": "6.5",
        "items": items,
        "relations": relations,
    } | changes


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two good records for training, one each for the other splits."""
    (tmp_path / "images").mkdir()
    for number in range(10):
        Image.new("RGB", (64, 48), (20 * number, 60, 90)).save(tmp_path / "images" / f"{number}.jpg")
    for split, numbers in (("train", (0, 1)), ("val", (2,)), ("test", (3,))):
        write(tmp_path, split, *map(record, numbers))
    return tmp_path


def write(data: Path, split: str, *records: Any) -> None:
    (data / f"{split}.json").write_text(json.dumps(records, ensure_ascii=False), "utf-8")


def prepared(data: Path, **changes: Any) -> dict[str, Any]:
    options = PrepareOptions("laion-sg", data, **changes)
    return prepare(laion_sg.prepare(options), options)


def test_graphs_have_attributes_and_no_boxes(data: Path):
    report = prepared(data)
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {"train": 2, "val": 1, "test": 1}
    split = open_dataset(DatasetOptions("laion-sg", data)).split("train", 10)
    graph = split.graphs[1]
    assert [item.phrase for item in graph.objects] == ["brown wet dog", "Straße"]
    assert [(r.subject, r.predicate, r.object) for r in graph.relations] == [(0, "running along", 1)]
    assert not knows_boxes(split)
    assert split.pictures([0, 1], 32).shape == (2, 32, 32, 3)


def test_broken_records_are_left_out_and_counted(data: Path):
    with_oneself = [{"item1": 0, "relation": "beside", "item2": 0}, {"item1": 0, "relation": "on", "item2": 7}]
    write(
        data,
        "train",
        record(0),
        record(0),
        record(1, name=None),
        record(2, items=[], relations=[]),
        record(3, relations=with_oneself),
        record(77),
        [1, 2],
    )
    (data / "images" / "4.jpg").write_bytes((data / "images" / "4.jpg").read_bytes()[:-10])
    records = json.loads((data / "train.json").read_text("utf-8"))
    write(data, "train", *records, record(4))
    left_out = prepared(data)["splits"]["train"]["left_out"]
    assert left_out["picture"] == {
        "a record without a graph": 1,
        "a record without the name of a picture": 2,
        "an id that an earlier one has": 1,
        "missing": 1,
        "truncated": 1,
    }
    assert left_out["relation"] == {
        "an end that is no object of the graph, or could be several": 1,
        "an object joined to itself": 1,
    }


@pytest.mark.parametrize("folder", ["train", "images/train", "."])
def test_pictures_may_lie_in_other_folders(data: Path, folder: str):
    (data / folder).mkdir(parents=True, exist_ok=True)
    for number in (0, 1):
        (data / "images" / f"{number}.jpg").rename(data / folder / f"{number}.jpg")
    assert prepared(data)["splits"]["train"]["pictures"] == 2


def test_a_split_without_a_file_or_with_several_is_named(data: Path):
    write(data, "more_train", record(0))
    with pytest.raises(
        UsageError, match="one .json file with 'train' in its name, and has more_train.json, train.json"
    ):
        laion_sg.prepare(PrepareOptions("laion-sg", data))
    (data / "val.json").unlink()
    (data / "more_train.json").unlink()
    with pytest.raises(UsageError, match="one .json file with 'val' in its name, and has none"):
        laion_sg.prepare(PrepareOptions("laion-sg", data))


@pytest.fixture
def layout_file(tmp_path: Path) -> Path:
    """What train_layout.py writes, with random weights."""
    torch.manual_seed(0)
    state = LayoutAdapter(LAYOUT_SIZES).state_dict()
    path = tmp_path / "layout.safetensors"
    write_adapter(path, Adapter(LAYOUT, "sg-mini", "epsilon", "clip", LAYOUT_SIZES, "shapes", 1, state))
    return path


def test_a_trained_layout_places_objects(data: Path, layout_file: Path, sg_mini_checkpoint: Path):
    four = [{"item_id": i, "label": "dog", "attributes": []} for i in range(4)]
    write(data, "val", record(2), record(5, items=four, relations=[]))
    report = prepared(data, boxes=layout_file, base=str(sg_mini_checkpoint))
    dataset = open_dataset(DatasetOptions("laion-sg", data))
    for split in ("train", "test"):
        graphs = dataset.split(split, 10).graphs
        assert all(item.box is not None for graph in graphs for item in graph.objects)
    small, large = dataset.split("val", 10).graphs
    assert all(item.box for item in small.objects) and not any(item.box for item in large.objects)
    assert report["splits"]["val"]["left_out"] == {"box": {"a graph larger than what the adapter of --boxes takes": 4}}
    assert report["sources"][-1]["file"] == layout_file.name and 0 < report["large_area"] < 1


def test_boxes_that_a_graph_has_stay(layout_file: Path, sg_mini_checkpoint: Path):
    from sg_models.graph.scene_graph import SceneGraph, SceneObject
    from train.data.prepared.records import Record

    box = (0.25, 0.25, 0.5, 0.75)
    whole = Record("1", SceneGraph((SceneObject("dog", (), box),)))
    half = Record("2", SceneGraph((SceneObject("dog"), SceneObject("dog", (), box))))
    found = list(placed([whole, half, half], layout_file, str(sg_mini_checkpoint), Counts()))
    assert found[0] == whole and found[1] == found[2]
    assert found[1].graph.objects[1].box == box and found[1].graph.objects[0].box is not None


def test_files_that_place_nothing_end_in_a_sentence(data: Path, layout_file: Path, sg_mini_checkpoint: Path):
    base = str(sg_mini_checkpoint)
    with pytest.raises(UsageError, match="there is no adapter file .*nothing.safetensors for --boxes"):
        prepared(data, boxes=data / "nothing.safetensors", base=base)
    write_adapter(layout_file, Adapter("lora", "sg-mini", "epsilon", "clip", {}, "shapes", 1, {"a": torch.ones(1)}))
    with pytest.raises(AdapterError, match="kind lora, which places no objects"):
        prepared(data, boxes=layout_file, base=base)
