"""sg2im's filter of Visual Genome (Johnson et al. 2018, section 4 and its supplement), on columns of numbers.

Names and predicates count in training images alone. Which pictures a split has is decided as the published one was;
what their graphs hold is normalised alike in all splits. The two differ for predicates: sg2im counted those of
validation and test pictures only where they were written as in the vocabulary, in lower case and not merged. Had we
counted the others too, those splits would be half as large again, and nobody's figures could be compared.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from train.data.prepared.annotation_text import Wordings
from train.data.prepared.preparer import Counts
from train.data.prepared.visual_genome_files import ID_BITS, AttributeColumns, Images, ObjectColumns, RelationColumns

OUT_OF_SPLITS = -1


@dataclass(frozen=True)
class Limits:
    """What is kept; counts are those of training images. With `open_vocabulary` every word is kept as it is meant."""

    min_image_side: int = 200
    """pixels"""
    min_object_side: int = 32
    """pixels"""
    objects: tuple[int, int] = (3, 30)
    """fewest and most in a picture"""
    relations: tuple[int, int] = (1, 30)
    """fewest and most in a picture"""
    names: int = 2000
    """how often a name must occur"""
    predicates: int = 500
    """how often a predicate must occur between objects that are kept"""
    attributes: int = 2000
    """how often an attribute must occur"""
    open_vocabulary: bool = False

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Splits:
    """Which images each split has, in its order, and the split of every image."""

    images: dict[str, np.ndarray]
    """rows of images: int64 each"""
    of: np.ndarray
    """the place of the split in `images`, `OUT_OF_SPLITS` for an image in none: int64 [I]"""


@dataclass(frozen=True)
class KeptObjects:
    """Objects that stay, sorted by image."""

    image: np.ndarray
    """int64 [K], ascending"""
    word: np.ndarray
    """numbers of words: int64 [K]"""
    box: np.ndarray
    """x, y, width, height, pixels: float32 [K, 4]"""
    keys: np.ndarray
    """image and id in one number, sorted: int64 [K]"""
    by_key: np.ndarray
    """the row of every key: int64 [K]"""
    vocabulary: np.ndarray
    """which words are names: bool [words]"""

    def find(self, image: np.ndarray, object_id: np.ndarray) -> np.ndarray:
        """The rows of objects by image and id, -1 where none stayed: int64 of the same length."""
        return look_up(self.keys, self.by_key, key(image, object_id))


def choose_images(ids: dict[str, list[int]], images: Images, limits: Limits, counts: Counts) -> Splits:
    """The images of every split that are known and large enough, each once."""
    of, kept = np.full(len(images.paths), OUT_OF_SPLITS), {}
    large = images.size.min(1) >= limits.min_image_side if len(images.size) else np.zeros(0, bool)
    for number, (split, wanted) in enumerate(ids.items()):
        places = [images.place[i] for i in wanted if i in images.place]
        counts.leave_out("picture", "in the split, but not in image_data.json", len(wanted) - len(places))
        rows = np.array(list(dict.fromkeys(places)), np.int64)
        fresh = rows[of[rows] == OUT_OF_SPLITS]
        counts.leave_out("picture", "twice in the splits", len(places) - len(fresh))
        kept[split] = fresh[large[fresh]]
        counts.leave_out("picture", f"a side below {limits.min_image_side} pixels", len(fresh) - len(kept[split]))
        of[fresh] = number
        of[fresh[~large[fresh]]] = OUT_OF_SPLITS
    named = {i for wanted in ids.values() for i in wanted}
    counts.leave_out("picture", "in no split", sum(i not in named for i in images.place))
    return Splits(kept, of)


def keep_objects(objects: ObjectColumns, images: Images, splits: Splits, limits: Limits, counts: Counts) -> KeptObjects:
    """The objects of images in splits that are large enough, in the picture, and named."""
    vocabulary = name_vocabulary(objects, splits, limits)
    word = first_known(objects, vocabulary, limits)
    x, y, w, h = objects.box.T
    size = images.size[objects.image]
    unnamed = "no name that a graph can hold" if limits.open_vocabulary else f"no name that occurs {limits.names} times"
    used = splits.of[objects.image] != OUT_OF_SPLITS
    reasons = {
        "an id that an earlier one has": repeated(key(objects.image, objects.id)),
        "a box without area": (w <= 0) | (h <= 0),
        "a box outside of the picture": (x >= size[:, 0]) | (y >= size[:, 1]) | (x + w <= 0) | (y + h <= 0),
        f"a side below {limits.min_object_side} pixels": (w < limits.min_object_side) | (h < limits.min_object_side),
        unnamed: word < 0,
    }
    kept = np.flatnonzero(sift(used, "object", reasons, counts))
    kept = kept[np.argsort(objects.image[kept], kind="stable")]
    keys = key(objects.image[kept], objects.id[kept])
    by_key = np.argsort(keys, kind="stable")
    return KeptObjects(objects.image[kept], word[kept], objects.box[kept], keys[by_key], by_key, vocabulary)


def name_vocabulary(objects: ObjectColumns, splits: Splits, limits: Limits) -> np.ndarray:
    """Which words are names: bool [words]. An object of two names counts for both, for one name once."""
    usable = objects.wordings.usable
    if limits.open_vocabulary:
        return usable
    owner = np.repeat(np.arange(len(objects.id)), objects.name_count)
    training = splits.of[objects.image[owner]] == 0
    return usable & frequent(owner[training], objects.wordings.normal[objects.name[training]], usable, limits.names)


def first_known(objects: ObjectColumns, vocabulary: np.ndarray, limits: Limits) -> np.ndarray:
    """The first word of every object that is in the vocabulary, -1 without one: int64 [O]."""
    owner = np.repeat(np.arange(len(objects.id)), objects.name_count)
    word = objects.wordings.normal[objects.name]
    known = np.flatnonzero(vocabulary[word])[::-1]  # the first comes last, and stays
    first = np.full(len(objects.id), -1)
    first[owner[known]] = word[known]
    return first


@dataclass(frozen=True)
class KeptRelations:
    """Relations between objects that stay, sorted by image; ends are rows of `KeptObjects`."""

    image: np.ndarray
    subject: np.ndarray
    object: np.ndarray
    word: np.ndarray
    published: np.ndarray
    """how many relations sg2im counts in every image: int64 [I]"""
    vocabulary: np.ndarray
    """which words are predicates: bool [words]"""


def keep_relations(
    relations: RelationColumns,
    objects: ObjectColumns,
    kept: KeptObjects,
    splits: Splits,
    limits: Limits,
    counts: Counts,
) -> KeptRelations:
    """The relations of images in splits whose ends stay and whose predicates are in the vocabulary."""
    image, wordings = relations.image, relations.wordings
    subject, object_ = kept.find(image, relations.subject_id), kept.find(image, relations.object_id)
    word = wordings.normal[relations.predicate]
    joined, training = (subject >= 0) & (object_ >= 0), splits.of[image] == 0
    vocabulary = wordings.usable
    if not limits.open_vocabulary:
        counted = np.flatnonzero(joined & training)
        vocabulary &= frequent(counted, word[counted], vocabulary, limits.predicates)
    published = as_published(wordings, relations.predicate, training, limits)
    seen = joined & (published >= 0) & vocabulary[published]
    rare = "no predicate" if limits.open_vocabulary else f"a predicate that does not occur {limits.predicates} times"
    known = np.sort(key(objects.image, objects.id))
    ends = [look_up(known, known, key(image, ids)) >= 0 for ids in (relations.subject_id, relations.object_id)]
    reasons = {
        "an end that is no object of the picture": ~(ends[0] & ends[1]),
        "an object joined to itself": relations.subject_id == relations.object_id,
        "an end that was left out": ~joined,
        rare: ~vocabulary[word],
    }
    rows = np.flatnonzero(sift(splits.of[image] != OUT_OF_SPLITS, "relation", reasons, counts))
    rows = rows[np.argsort(image[rows], kind="stable")]
    numbers = np.bincount(image[seen], minlength=len(splits.of))
    return KeptRelations(image[rows], subject[rows], object_[rows], word[rows], numbers, vocabulary)


def as_published(wordings: Wordings, predicate: np.ndarray, training: np.ndarray, limits: Limits) -> np.ndarray:
    """The words that sg2im counts predicates as, -1 for none: what they mean, but out of training what they are."""
    normal = wordings.normal[predicate]
    return normal if limits.open_vocabulary else np.where(training, normal, wordings.verbatim[predicate])


@dataclass(frozen=True)
class KeptAttributes:
    """Attributes of objects that stay, sorted by object, each once."""

    object: np.ndarray
    word: np.ndarray
    vocabulary: np.ndarray


def keep_attributes(
    attributes: AttributeColumns, kept: KeptObjects, splits: Splits, limits: Limits, counts: Counts
) -> KeptAttributes:
    """The attributes of objects that stay."""
    word = attributes.wordings.normal[attributes.attribute]
    owner = kept.find(attributes.image, attributes.object_id)
    vocabulary = attributes.wordings.usable
    if not limits.open_vocabulary:
        training = splits.of[attributes.image] == 0
        vocabulary &= frequent(described_rows(attributes)[training], word[training], vocabulary, limits.attributes)
    rare = "no text that a graph can hold" if limits.open_vocabulary else f"not {limits.attributes} times there"
    reasons = {
        "of an object that was left out, or is none": owner < 0,
        rare: ~vocabulary[word],
        "said twice": repeated(owner * (len(vocabulary) + 1) + word),
    }
    rows = np.flatnonzero(sift(splits.of[attributes.image] != OUT_OF_SPLITS, "attribute", reasons, counts))
    rows = rows[np.argsort(owner[rows], kind="stable")]
    return KeptAttributes(owner[rows], word[rows], vocabulary)


def described_rows(attributes: AttributeColumns) -> np.ndarray:
    """Numbers for the objects that attributes are of, whether they stay or not: int64 [A]."""
    keys = key(attributes.image, attributes.object_id)
    return np.searchsorted(np.sort(keys), keys)


def choose_pictures(
    images: np.ndarray, objects: KeptObjects, relations: KeptRelations, limits: Limits, counts: Counts
) -> np.ndarray:
    """Those of some images whose graphs are of the right size: rows of images, in the same order."""
    total = len(relations.published)
    things = np.bincount(objects.image, minlength=total)[images]
    published = relations.published[images]
    left = np.bincount(relations.image, minlength=total)[images]
    reasons = {
        f"fewer than {limits.objects[0]} objects": things < limits.objects[0],
        f"more than {limits.objects[1]} objects": things > limits.objects[1],
        f"fewer than {limits.relations[0]} relations": published < limits.relations[0],
        f"more than {limits.relations[1]} relations": published > limits.relations[1],
        "no relation but of an object with itself": left < limits.relations[0],
    }
    return images[sift(np.ones(len(images), bool), "picture", reasons, counts)]


def sift(rows: np.ndarray, what: str, reasons: dict[str, np.ndarray], counts: Counts) -> np.ndarray:
    """Those of the rows, a bool each, that no reason leaves out; a row is counted once, under its first reason."""
    for why, wrong in reasons.items():
        counts.leave_out(what, why, np.count_nonzero(rows & wrong))
        rows = rows & ~wrong
    return rows


def frequent(owner: np.ndarray, word: np.ndarray, usable: np.ndarray, least: int) -> np.ndarray:
    """Which words occur often enough, for one owner once: bool [words]. Owners are rows, numbered from 0."""
    size = max(len(usable), 1)
    pairs = owner * size + word
    return np.bincount(word[~repeated(pairs)], minlength=len(usable)) >= least


def key(image: np.ndarray, object_id: np.ndarray) -> np.ndarray:
    """An image and the id of an object in it as one number."""
    return (image << ID_BITS) | object_id


def repeated(keys: np.ndarray) -> np.ndarray:
    """Which keys an earlier row has: bool of the same length."""
    order = np.argsort(keys, kind="stable")  # np.unique is several times as slow
    again = np.zeros(len(keys), bool)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again


def look_up(keys: np.ndarray, rows: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The rows of keys, which are sorted, -1 where there is no such key."""
    if not len(keys):
        return np.full(len(wanted), -1)
    place = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[place] == wanted, rows[place], -1)
