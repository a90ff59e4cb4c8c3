"""sg2im's filter of Visual Genome, rule by rule, on miniatures in the original's files."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import pytest

from train.data.prepared.preparer import Counts, Scene
from train.data.prepared.visual_genome import read_visual_genome, source
from train.data.prepared.visual_genome_filter import Limits
from train.running.command_line import UsageError

FIXTURE = Path(__file__).parents[1] / "fixtures" / "visual_genome"
BENCHMARKS = Path(__file__).resolve().parents[4] / "benchmarks"
ALL = Limits(names=1, predicates=1, attributes=1)  # no word is too rare


class Read:
    """What is read of a folder: scenes by split, counts of all."""

    def __init__(self, folder: Path, limits: Limits = ALL) -> None:
        self.facts: dict[str, int] = {}
        self.counts = Counts()
        splits = read_visual_genome(folder, limits, self.counts, self.facts)
        self.scenes: dict[str, list[Scene]] = {name: list(s.scenes(self.counts)) for name, s in splits.items()}

    def ids(self, split: str = "train") -> list[str]:
        return [scene.id for scene in self.scenes[split]]

    def left_out(self, what: str) -> dict[str, int]:
        return self.counts.to_dict().get(what, {})


def test_a_scene_has_names_attributes_boxes_and_relations(visual_genome):
    visual_genome.add_usual(1)
    read = Read(visual_genome.write())
    (scene,) = read.scenes["train"]
    assert (scene.id, scene.size, scene.picture) == ("1", (300, 200), "VG_100K/1.jpg")
    assert [(t.name, t.attributes) for t in scene.things] == [("man", ()), ("horse", ("brown",)), ("tree", ())]
    assert scene.things[1].box == (110, 20, 170, 100)  # of x, y, w, h = 110, 20, 60, 80
    assert scene.relations == [(0, "on", 1)]
    assert read.facts == {"names": 3, "predicates": 1, "attributes": 1}
    assert read.counts.to_dict() == {}


def test_small_pictures_are_left_out(visual_genome):
    visual_genome.add_usual(1, size=(300, 200))
    visual_genome.add_usual(2, size=(300, 199))
    read = Read(visual_genome.write())
    assert read.ids() == ["1"] and read.left_out("picture") == {"a side below 200 pixels": 1}


def test_small_objects_are_left_out(visual_genome):
    visual_genome.add_usual(1)
    visual_genome.thing(11, "dog", (0, 0, 32, 32))
    visual_genome.thing(12, "dog", (0, 0, 31, 90))
    visual_genome.thing(13, "dog", (0, 0, 90, 31))
    read = Read(visual_genome.write())
    assert [t.name for t in read.scenes["train"][0].things] == ["man", "horse", "tree", "dog"]
    assert read.left_out("object") == {"a side below 32 pixels": 2}


@pytest.mark.parametrize(("count", "kept"), [(2, False), (3, True), (30, True), (31, False)])
def test_pictures_have_3_to_30_objects(visual_genome, count: int, kept: bool):
    visual_genome.add_usual(1)
    visual_genome.add(2)
    for i in range(count):
        visual_genome.thing(i, "dog", (0, 0, 50, 50))
    visual_genome.relation(0, "on", 1)
    read = Read(visual_genome.write())
    assert read.ids() == ["1", "2"][: 1 + kept]
    why = "fewer than 3 objects" if count < 3 else "more than 30 objects"
    assert read.left_out("picture") == ({} if kept else {why: 1})


@pytest.mark.parametrize(("count", "kept"), [(0, False), (1, True), (30, True), (31, False)])
def test_pictures_have_1_to_30_relations(visual_genome, count: int, kept: bool):
    visual_genome.add_usual(1)
    visual_genome.add_usual(2)
    visual_genome.rows["relationships"][-1]["relationships"] = []
    for i in range(count):
        visual_genome.relation(200 + i % 2, "on", 202)
    read = Read(visual_genome.write())
    assert read.ids() == ["1", "2"][: 1 + kept]
    why = "fewer than 1 relations" if count < 1 else "more than 30 relations"
    assert read.left_out("picture") == ({} if kept else {why: 1})


def test_rare_names_are_left_out_by_their_counts_in_training(visual_genome):
    for image in range(3):
        visual_genome.add_usual(image)
        visual_genome.thing(image * 100 + 50, ["Dog", "dog", "puppy"], (0, 0, 50, 50))  # one dog, one puppy
    visual_genome.thing(251, "puppy", (0, 0, 50, 50))
    visual_genome.add_usual(8, "val")
    visual_genome.thing(850, "cat", (0, 0, 50, 50))
    visual_genome.thing(851, ["cat", "dog"], (0, 0, 50, 50))
    folder = visual_genome.write()
    for least, names in ((3, {"man", "horse", "tree", "dog", "puppy"}), (4, {"puppy"})):
        read = Read(folder, replace(ALL, names=least, objects=(0, 30), relations=(0, 30)))
        assert {t.name for scene in read.scenes["train"] for t in scene.things} == names
        assert read.facts["names"] == len(names)
    read = Read(folder, replace(ALL, names=3))
    # the first of an object's names that is known
    assert [t.name for t in read.scenes["val"][0].things] == ["man", "horse", "tree", "dog"]
    assert read.left_out("object") == {"no name that occurs 3 times": 1}


def test_rare_predicates_are_left_out_by_their_counts_between_objects_that_stay(visual_genome):
    for image in range(3):
        visual_genome.add_usual(image)
        visual_genome.relation(image * 100, "near", image * 100 + 2)
        visual_genome.thing(image * 100 + 60, "speck", (0, 0, 5, 5))
    visual_genome.relation(260, "under", 200)
    visual_genome.relation(260, "under", 201)
    visual_genome.relation(200, "under", 201)
    visual_genome.relation(200, "at", 201)
    folder = visual_genome.write()
    read = Read(folder, replace(ALL, predicates=3))
    assert {r[1] for scene in read.scenes["train"] for r in scene.relations} == {"on", "near"}
    assert read.facts["predicates"] == 2
    assert read.left_out("relation") == {
        "a predicate that does not occur 3 times": 2,
        "an end that was left out": 2,
    }


def test_rare_attributes_are_left_out_once_counted_in_training(visual_genome):
    for image in range(2):
        visual_genome.add_usual(image)
        visual_genome.attribute(image * 100, "tall", "Tall ")
    visual_genome.add_usual(8, "test")
    visual_genome.attribute(800, "wet")
    visual_genome.attribute(800, "tall")
    read = Read(visual_genome.write(), replace(ALL, attributes=2))
    assert [t.attributes for t in read.scenes["test"][0].things] == [("tall",), ("brown",), ()]
    assert read.facts["attributes"] == 2
    assert read.left_out("attribute") == {"not 2 times there": 1, "said twice": 2}


def test_aliases_merge_words_in_all_splits_alike(visual_genome):
    """sg2im merged predicates of training alone, so that validation had another vocabulary."""
    for image, split in ((1, "train"), (2, "val"), (3, "test")):
        visual_genome.add_usual(image, split)
        first = image * 100
        visual_genome.thing(first + 3, "Guy", (0, 0, 50, 50))
        for predicate in ("ON", " upon", "on top  of", "On Top Of"):
            visual_genome.relation(first, predicate, first + 2)
    read = Read(visual_genome.write())
    graphs = [
        ([(t.name, t.attributes, t.box) for t in scene.things], scene.relations)
        for scenes in read.scenes.values()
        for scene in scenes
    ]
    assert graphs[0] == graphs[1] == graphs[2]
    assert [predicate for _, predicate, _ in graphs[0][1]] == ["on"] * 5
    assert graphs[0][0][3][0] == "man"


def test_splits_have_the_published_pictures(visual_genome):
    """Out of training sg2im counts a predicate only where it is written as in its vocabulary."""
    visual_genome.add_usual(1, "train", predicate="ON")
    visual_genome.add_usual(2, "val", predicate="ON")
    visual_genome.add_usual(3, "val", predicate="on")
    visual_genome.add_usual(4, "test", predicate="on top of")
    visual_genome.add_usual(5, "test", predicate="on")
    read = Read(visual_genome.write())
    assert [read.ids(split) for split in ("train", "val", "test")] == [["1"], ["3"], ["5"]]
    assert read.left_out("picture") == {"fewer than 1 relations": 2}


def test_every_word_is_kept_with_an_open_vocabulary(visual_genome):
    visual_genome.add_usual(1, "val", predicate="RIDES upon")
    visual_genome.thing(104, ["Guy", "man"], (0, 0, 50, 50))
    visual_genome.thing(105, [""], (0, 0, 50, 50))
    visual_genome.thing(106, "x" * 201, (0, 0, 50, 50))
    visual_genome.thing(107, "bell\x07", (0, 0, 50, 50))
    visual_genome.thing(108, "mug", (0, 0, 9, 50))
    read = Read(visual_genome.write(), Limits(open_vocabulary=True))
    (scene,) = read.scenes["val"]
    assert [t.name for t in scene.things] == ["man", "horse", "tree", "guy"]
    assert scene.things[1].attributes == ("brown",) and scene.relations == [(0, "rides upon", 1)]
    assert read.left_out("object") == {"a side below 32 pixels": 1, "no name that a graph can hold": 3}


# Broken records


# what is done to a folder of one image, by the reason that is counted for it
DAMAGES: dict[str, Callable[[Any], None]] = {
    "object: a box without area": lambda v: v.thing(150, "dog", (10, 10, 0, 50)),
    "object: an id that an earlier one has": lambda v: v.thing(100, "dog", (10, 10, 50, 50)),
    "object: a box outside of the picture": lambda v: v.thing(150, "dog", (300, 10, 50, 50)),
    "object: a row of another form": lambda v: v.rows["objects"][-1]["objects"].append(
        {"object_id": 150, "names": ["dog"]}
    ),
    "object: no name that occurs 1 times": lambda v: v.thing(150, [], (10, 10, 50, 50)),
    "relation: an end that is no object of the picture": lambda v: v.relation(100, "on", 999),
    "relation: an object joined to itself": lambda v: v.relation(100, "on", 100),
    "relation: a predicate that does not occur 1 times": lambda v: v.relation(100, " ", 101),
    "relation: a row of another form": lambda v: v.rows["relationships"][-1]["relationships"].append(
        {"predicate": "on", "subject": None}
    ),
    "attribute: of an object that was left out, or is none": lambda v: v.attribute(999, "brown"),
    "attribute: a row of another form": lambda v: v.attribute("100", "brown"),
    "record: a second one of the same image in objects.json": lambda v: v.rows["objects"].append(
        {"image_id": 1, "objects": []}
    ),
    "record: no record of an image in objects.json": lambda v: v.rows["objects"].append({"objects": 5}),
    "picture: in the split, but not in image_data.json": lambda v: v.splits["train"].append(77),
    "picture: in no split": lambda v: v.images.append({"image_id": 6, "width": 300, "height": 200}),
    "picture: twice in the splits": lambda v: v.splits["test"].append(1),
    "picture: an id that an earlier one has in image_data.json": lambda v: v.images.append(v.images[0]),
    "picture: a row of another form in image_data.json": lambda v: v.images.append({"image_id": 5}),
    "picture: no size in image_data.json": lambda v: v.images.append({"image_id": 5, "width": 0, "height": 9}),
}


@pytest.mark.parametrize("reason", DAMAGES)
def test_what_is_broken_is_counted_and_costs_nothing_else(visual_genome, reason: str):
    visual_genome.add_usual(1)
    DAMAGES[reason](visual_genome)
    read = Read(visual_genome.write())
    (scene,) = read.scenes["train"]
    assert [t.name for t in scene.things] == ["man", "horse", "tree"] and scene.relations == [(0, "on", 1)]
    what, why = reason.split(": ", 1)
    assert read.counts.to_dict() == {what: {why: 1}}


def test_strange_text_is_read(visual_genome):
    visual_genome.add_usual(1, predicate="на")
    visual_genome.thing(104, "cafe\u0301  🐴", (0, 0, 50, 50))
    read = Read(visual_genome.write())
    (scene,) = read.scenes["train"]
    assert scene.things[3].name == "café 🐴" and scene.relations == [(0, "на", 1)]


def test_text_that_is_none_costs_its_row(visual_genome):
    """Half a surrogate pair, which JSON can write and no string can hold, and bytes that are no UTF-8."""
    visual_genome.add_usual(1)
    for object_id, name in ((104, "\ud800"), (105, "\U0001f434"), (106, "back\\ud800slash"), (107, "BYTE")):
        visual_genome.thing(object_id, name, (0, 0, 50, 50))
    path = visual_genome.write() / "objects.json"
    path.write_bytes(path.read_bytes().replace(b"BYTE", b"\xff"))
    read = Read(path.parent)
    names = [t.name for t in read.scenes["train"][0].things]
    assert names == ["man", "horse", "tree", "\U0001f434", "back\\ud800slash", "\ufffd"]
    assert read.left_out("object") == {"no name that occurs 1 times": 1}


def test_boxes_keep_what_is_off_the_edge_for_the_crop(visual_genome):
    visual_genome.add_usual(1)
    visual_genome.thing(104, "dog", (-10, 150, 50, 90))
    read = Read(visual_genome.write())
    assert read.scenes["train"][0].things[3].box == (-10, 150, 40, 240)


def test_an_image_without_records_has_no_objects(visual_genome):
    visual_genome.add_usual(1)
    visual_genome.add(2)
    for records in visual_genome.rows.values():
        del records[1]
    read = Read(visual_genome.write())
    assert read.ids() == ["1"] and read.left_out("picture") == {"fewer than 3 objects": 1}


# Files that are none


def test_missing_files_are_named(tmp_path):
    with pytest.raises(UsageError, match="lacks image_data.json, objects.json, .*vg_splits.json.*docs/data.md"):
        source(tmp_path, ALL, "")


@pytest.mark.parametrize("name", ["objects.json", "attributes.json", "relationships.json", "image_data.json"])
def test_a_download_that_broke_off_is_said(visual_genome, name: str):
    visual_genome.add_usual(1)
    path = visual_genome.write() / name
    for text in (path.read_text()[:-9], ""):
        path.write_text(text)
        with pytest.raises(UsageError, match=f"{name} is (not whole JSON .*|empty); download it again"):
            Read(path.parent)


def test_a_file_of_another_form_is_said(visual_genome):
    visual_genome.add_usual(1)
    path = visual_genome.write() / "objects.json"
    path.write_text(json.dumps([{"id": 1, "objects": []}]))
    with pytest.raises(UsageError, match="is not Visual Genome's objects.json: .*image_id"):
        Read(path.parent)


def test_splits_of_another_form_are_said(visual_genome):
    visual_genome.add_usual(1)
    path = visual_genome.write() / "vg_splits.json"
    path.write_text('{"train": [1]}')
    with pytest.raises(UsageError, match="does not name the images of every split"):
        Read(path.parent)


# Against an implementation that shares no line with ours


def benchmark(name: str) -> Any:
    """A file of benchmarks, which is no package."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_training_pictures_are_those_of_the_plain_way(tmp_path, monkeypatch):
    """On made-up annotations. Out of training the two differ: the plain way lower-cases predicates there too."""
    benchmark("visual_genome_made_up").make(tmp_path, 250)
    plain = benchmark("visual_genome_plain")
    for name, least in (("MIN_NAMES", 40), ("MIN_PREDICATES", 12), ("MIN_ATTRIBUTES", 40)):
        monkeypatch.setattr(plain, name, least)
    counts = plain.prepare(tmp_path, tmp_path)
    words = json.loads((tmp_path / "vocab.json").read_text())
    read = Read(tmp_path, Limits(names=40, predicates=12, attributes=40))
    unheld = read.left_out("picture")["no relation but of an object with itself"]
    assert len(read.ids("train")) > 100
    assert read.facts == {what: len(words[what]) for what in ("names", "predicates", "attributes")}
    with h5py.File(tmp_path / "train.h5") as file:
        theirs = {str(i): n for i, n in zip(file["image_ids"][:], file["objects_per_image"][:], strict=True)}
    ours = {scene.id: len(scene.things) for scene in read.scenes["train"]}
    assert ours.items() <= theirs.items() and counts["train"] - len(ours) <= unheld


# Real records


def test_real_records_are_read():
    read = Read(FIXTURE, Limits(open_vocabulary=True))
    assert {name: len(scenes) for name, scenes in read.scenes.items()} == {"train": 2, "val": 1, "test": 1}
    objects = sum(len(record["objects"]) for record in json.loads((FIXTURE / "objects.json").read_text()))
    kept = sum(len(scene.things) for scenes in read.scenes.values() for scene in scenes)
    assert kept + read.counts.left_out("object") == objects
    assert read.counts.left_out("record") == 0
    for scene in (scene for scenes in read.scenes.values() for scene in scenes):
        width, height = scene.size
        assert all(t.box[0] < width and t.box[1] < height and t.box[2] - t.box[0] >= 32 for t in scene.things)
