"""COCO-Stuff by sg2im's rules, on annotations in COCO's own format, made up here."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sg_models.layers.layout import MASK_SIDE
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.prepared import coco
from train.data.prepared.coco_files import decode_segmentation
from train.data.prepared.cropping import Frame
from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import Counts, PrepareOptions, Scene
from train.data.spatial_relations import RELATIONS, spatial_relation
from train.running.command_line import UsageError

WIDTH, HEIGHT = 100, 80
PERSON, DOG, SKY, WALL, OTHER = 1, 18, 157, 171, 183
THINGS = [{"id": PERSON, "name": "person"}, {"id": DOG, "name": "dog"}]
STUFF = [{"id": SKY, "name": "sky-other"}, {"id": WALL, "name": "wall-brick"}, {"id": OTHER, "name": "other"}]


def rectangle(x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def polygon(x: int, y: int, w: int, h: int) -> list[list[float]]:
    return [[x, y, x + w, y, x + w, y + h, x, y + h]]


def as_text(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as stuff annotations have them."""
    packed = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": packed["size"], "counts": packed["counts"].decode()}


def as_numbers(mask: np.ndarray) -> dict[str, Any]:
    """Run lengths as crowds have them."""
    flat = mask.T.reshape(-1).astype(int)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flat]))).tolist()
    return {"size": list(mask.shape), "counts": np.diff([0, *edges, flat.size]).tolist()}


def thing(image: int, category: int, box: tuple, segmentation: Any = None, **more: Any) -> dict[str, Any]:
    segmentation = polygon(*box) if segmentation is None else segmentation
    return {"image_id": image, "category_id": category, "bbox": list(box), "segmentation": segmentation} | more


def stuff(image: int, box: tuple = (0, 0, 100, 20), category: int = SKY) -> dict[str, Any]:
    return thing(image, category, box, as_text(rectangle(*box)))


class Folder:
    """COCO's files, with the annotations that are added."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.things: dict[str, list] = {"train2017": [], "val2017": []}
        self.stuff: dict[str, list] = {"train2017": [], "val2017": []}
        self.images: dict[str, list] = {"train2017": [], "val2017": []}

    def add(self, image: int, *things: dict, part: str = "train2017", picture: bool = True) -> None:
        name = f"{image:012}.jpg"
        self.images[part].append({"id": image, "file_name": name, "width": WIDTH, "height": HEIGHT, "license": 1})
        for row in things:
            (self.stuff if row["category_id"] >= SKY else self.things)[part].append(row)
        if picture:
            (self.data / part).mkdir(exist_ok=True)
            Image.new("RGB", (WIDTH, HEIGHT), (image % 255, 60, 90)).save(self.data / part / name)

    def add_good(self, image: int, part: str = "train2017") -> None:
        boxes = [(5, 30, 20, 40), (40, 30, 20, 40), (70, 30, 20, 40)]
        self.add(image, *(thing(image, PERSON, box) for box in boxes), stuff(image), part=part)

    def options(self, **changes: Any) -> PrepareOptions:
        (self.data / "annotations").mkdir(exist_ok=True)
        for kind, rows, categories in (("instances", self.things, THINGS), ("stuff", self.stuff, STUFF)):
            for part in rows:
                file = {"info": {}, "images": self.images[part], "annotations": rows[part], "categories": categories}
                (self.data / "annotations" / f"{kind}_{part}.json").write_text(json.dumps(file), "utf-8")
        return PrepareOptions(**{"dataset": "coco", "data": self.data, "crop": "none"} | changes)

    def read(self, split: str = "train", **changes: Any) -> tuple[list[Scene], Counts]:
        counts = Counts()
        splits = coco.prepare(self.options(**changes)).read(counts)
        return list(splits[split].scenes(counts)), counts


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.mark.parametrize("write", [as_text, as_numbers, lambda mask: polygon(30, 10, 25, 40)])
def test_polygons_and_both_kinds_of_run_lengths_say_the_same(write):
    mask = rectangle(30, 10, 25, 40)
    assert np.array_equal(decode_segmentation(json.dumps(write(mask)).encode(), WIDTH, HEIGHT), mask)


@pytest.mark.parametrize(
    "segmentation",
    [
        [],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5, 6, 7]],
        {"size": [HEIGHT, WIDTH], "counts": [5]},
        {"size": [HEIGHT, WIDTH], "counts": [-5, HEIGHT * WIDTH + 5]},
        {"size": [WIDTH, HEIGHT], "counts": [HEIGHT * WIDTH]},
        "none",
    ],
)
def test_a_broken_segmentation_is_an_error_in_words(segmentation: Any):
    with pytest.raises(ValueError):
        decode_segmentation(json.dumps(segmentation).encode(), WIDTH, HEIGHT)


def test_boxes_are_turned_from_width_and_height_to_corners(folder: Folder):
    folder.add_good(1)
    (scene,), _ = folder.read()
    assert scene.things[0].box == (5, 30, 25, 70) and scene.things[-1].box == (0, 0, 100, 20)
    assert [item.name for item in scene.things] == ["person"] * 3 + ["sky"]
    assert (scene.id, scene.size, scene.picture) == ("1", (WIDTH, HEIGHT), "train2017/000000000001.jpg")


def test_what_is_no_object_is_left_out_and_counted(folder: Folder):
    folder.add_good(1)
    folder.things["train2017"] += [
        thing(1, DOG, (0, 0, 16, 10)),  # 2 % of the picture, which is not more than that
        thing(1, DOG, (10, 10, 0, 50)),
        thing(1, DOG, (200, 10, 30, 50)),
        thing(99, DOG, (0, 0, 50, 50)),
        thing(1, 77, (0, 0, 50, 50)),
        thing(1, DOG, (0, 0, 50, 50), {"size": [HEIGHT, WIDTH], "counts": [1]}),
        thing(1, DOG, (0, 0, 50, 50), as_text(rectangle(0, 0, 0, 0))),
        {"image_id": 1, "category_id": DOG, "bbox": "none"},
    ]
    folder.stuff["train2017"].append(thing(1, OTHER, (0, 0, 50, 50)))
    (scene,), counts = folder.read()
    assert len(scene.things) == 4
    assert counts.to_dict() == {
        "object": {
            "a box outside of the picture": 1,
            "a box without area": 1,
            "a row of another form": 1,
            "a segmentation that cannot be read": 1,
            "at most 2% of the picture": 1,
            "no part of its segmentation in the picture": 1,
            "one of no category in the file": 1,
            "one of no picture in the file": 1,
            "the category 'other'": 1,
        }
    }


def test_pictures_have_stuff_and_three_to_eight_objects(folder: Folder):
    boxes = [(10 * i, 30, 10, 40) for i in range(10)]
    folder.add_good(1)
    folder.add(2, *(thing(2, PERSON, box) for box in boxes[:4]))  # no stuff
    folder.add(3, *(thing(3, PERSON, box) for box in boxes[:1]), stuff(3))
    folder.add(4, *(thing(4, PERSON, box) for box in boxes[:8]), stuff(4))
    folder.add(5, *(thing(5, PERSON, box) for box in boxes[:7]), stuff(5))
    folder.add(6, *(thing(6, PERSON, box) for box in boxes[:2]), stuff(6))
    folder.add(
        7, *(thing(7, PERSON, b) for b in boxes[:3]), thing(7, OTHER, (0, 0, 9, 9))
    )  # `other` is annotated stuff
    folder.images["train2017"].append(folder.images["train2017"][0])
    scenes, counts = folder.read()
    assert [scene.id for scene in scenes] == ["1", "5", "6", "7"]
    assert counts.to_dict()["picture"] == {
        "an id that an earlier one has": 1,
        "fewer than 3 objects": 1,
        "more than 8 objects": 1,
        "no stuff annotation": 1,
    }


def test_a_crowd_is_an_object_as_in_sg2im(folder: Folder):
    crowd = (40, 30, 50, 40)
    folder.add(
        1, thing(1, PERSON, crowd, as_numbers(rectangle(*crowd)), iscrowd=1), thing(1, DOG, (5, 30, 20, 40)), stuff(1)
    )
    (scene,), _ = folder.read()
    assert [item.name for item in scene.things] == ["person", "dog", "sky"]
    assert scene.things[0].mask((40, 30, 90, 70)).all()


def test_every_object_has_one_relation_to_another_one_by_sg2ims_rule(folder: Folder):
    for image in range(1, 40):
        folder.add_good(image)
    scenes, _ = folder.read()
    firsts = set()
    for scene in scenes:
        boxes = [item.box for item in scene.things]
        assert len(scene.relations) == len(boxes)
        for this, (subject, predicate, object_) in enumerate(scene.relations):
            assert this in (subject, object_) and subject != object_
            assert predicate in RELATIONS and predicate == spatial_relation(boxes[subject], boxes[object_])
            firsts.add((this == subject, this, subject if this == object_ else object_))
    assert len(firsts) == 2 * 4 * 3, "either end may be the subject, and every other object the partner"


def test_two_passes_give_the_same_triples_and_other_pictures_others(folder: Folder):
    for image in (7, 3, 9):
        folder.add_good(image)
    (once, _), (again, _) = folder.read(), folder.read()
    assert [scene.relations for scene in once] == [scene.relations for scene in again]
    assert len({tuple(scene.relations) for scene in once}) > 1
    folder.images["train2017"].reverse()
    backwards, _ = folder.read()
    assert [scene.relations for scene in backwards[::-1]] == [scene.relations for scene in once]


def test_directions_go_by_the_masks_and_not_by_the_boxes():
    """A mask that fills the top right corner of its box is above right of the box's centre."""
    boxes = [(0.0, 0.0, 1.0, 1.0), (0.5, 0.2, 1.0, 1.2)]
    (one, *_) = coco.relations(boxes, [(0.9, 0.5), (0.4, 0.5)], 1)
    (other, *_) = coco.relations(boxes, [(0.1, 0.5), (0.4, 0.5)], 1)
    assert {one[1], other[1]} == {"left of", "right of"}


def test_a_mask_is_what_lies_in_the_visible_box():
    mask = rectangle(20, 10, 40, 20)
    assert coco.mask_within(mask, (20.0, 10.0, 60.0, 30.0)).all()
    half = coco.mask_within(mask, (0.0, 10.0, 40.0, 30.0))
    assert half.shape == (MASK_SIDE, MASK_SIDE)
    assert not half[:, : MASK_SIDE // 2].any() and half[:, MASK_SIDE // 2 :].all()


def test_a_crop_is_made_before_areas_and_relations(folder: Folder):
    """The square in the middle is 10 to 90: of four objects, one is cut off and one gets too small."""
    folder.add(
        1,
        thing(1, DOG, (0, 30, 14, 40)),
        thing(1, DOG, (84, 30, 9, 20)),
        *(thing(1, PERSON, (x, 30, 15, 40)) for x in (20, 40, 60)),
        stuff(1),
    )
    (scene,), counts = folder.read(crop="centre")
    assert [item.name for item in scene.things] == ["person"] * 3 + ["sky"]
    assert counts.to_dict()["object"] == {"at most 2% of the picture": 1, "cut off by the crop": 1}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("sky-other", "sky"),
        ("wall-brick", "brick wall"),
        ("floor-wood", "wood floor"),
        ("window-blind", "window blind"),
        ("desk-stuff", "desk"),
        ("grass", "grass"),
        ("other", "other"),
    ],
)
def test_stuff_has_names_that_people_use(name: str, words: str):
    assert coco.stuff_name(name) == words


def test_the_first_of_val2017_validate_and_the_rest_tests(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coco, "VALIDATION_PICTURES", 2)
    folder.add_good(1)
    for image in (9, 5, 7):
        folder.add_good(image, part="val2017")
    assert [[s.id for s in folder.read(split)[0]] for split in ("train", "val", "test")] == [["1"], ["9", "5"], ["7"]]


def test_prepared_it_has_pictures_and_masks(folder: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(coco, "VALIDATION_PICTURES", 1)
    for image in (1, 2):
        folder.add_good(image)
    folder.add(3, *(thing(3, PERSON, (x, 30, 15, 40)) for x in (20, 40, 60)), stuff(3), picture=False)
    for image in (4, 5):
        folder.add_good(image, part="val2017")
    (folder.data / "train2017" / "000000000002.jpg").write_bytes(b"\xff\xd8 no picture")
    options = folder.options(crop="centre")
    report = prepare(coco.prepare(options), options)
    assert {name: split["pictures"] for name, split in report["splits"].items()} == {"train": 1, "val": 1, "test": 1}
    assert report["splits"]["train"]["left_out"]["picture"] == {"missing": 1, "not readable as a picture": 1}
    data = open_dataset(DatasetOptions("coco", folder.data))
    split = data.split("train", 10)
    assert data.test_splits == ("test",) and len(split.graphs) == 1
    assert split.masks(0, MASK_SIDE).all() and split.pictures([0], 64).shape == (1, 64, 64, 3)
    sky = split.graphs[0].objects[-1]
    assert (sky.name, sky.box) == ("sky", (0.0, 0.0, 1.0, 0.25))


def test_missing_and_broken_files_end_in_a_sentence(folder: Folder):
    with pytest.raises(UsageError, match="lacks annotations/instances_train2017.json, annotations/stuff_train2017"):
        coco.prepare(PrepareOptions("coco", folder.data))
    folder.add_good(1)
    options = folder.options()
    path = folder.data / "annotations/stuff_val2017.json"
    path.write_text(path.read_text()[:-5])
    with pytest.raises(UsageError, match="stuff_val2017.json is not a whole annotation file of COCO"):
        coco.prepare(options).read(Counts())


def test_a_centroid_is_the_mean_of_the_pixels_that_are_used():
    mask = np.random.default_rng(0).random((HEIGHT, WIDTH)) < 0.2
    rows, columns = np.nonzero(mask[:, 10:90])
    whole = (0.0, 0.0, float(WIDTH), float(HEIGHT))
    x, y = coco.mask_centroid(mask, Frame(whole, (10.0, 0.0, 90.0, 80.0)))
    assert (x, y) == pytest.approx(((columns.mean() + 0.5) / 80, (rows.mean() + 0.5) / 80))
    assert coco.mask_centroid(np.zeros_like(mask), Frame(whole, whole)) is None
