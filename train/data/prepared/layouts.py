"""Boxes and relations without pictures, for layouts alone, from several data sets at once (`layouts`).

    vrd/            annotations_{train,test}.json  {train,test}_image_metadata.json  objects.json  predicates.json
    vg150-images/   annotations_{a,b}.json  predicates_{a,b}.json  objects.json  largest_box_edges.json
    v-coco/         instances_vcoco_{trainval,test}.json

What is there is merged into one data set. VRD's and V-COCO's test splits are the test; of all else a tenth validates.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from train.data.prepared.hashed_split import for_validation
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource
from train.data.prepared.sources_of_layouts import read_v_coco, read_vg150, read_vrd
from train.running.command_line import UsageError

TEST = "the test splits of"
NO_TEST = "val: VRD and V-COCO, whose test splits it would be, are not in the folder"


@dataclass(frozen=True)
class Origin:
    """One data set that layouts are taken from."""

    files: tuple[str, ...]
    read: Callable[[Path, Counts], Iterator[Scene]]
    licence: str
    attribution: str
    test: tuple[str, ...] = ()
    """files that are for the test alone"""
    read_test: Callable[[Path, Counts], Iterator[Scene]] | None = None


ORIGINS = {
    "vrd": Origin(
        ("annotations_train.json", "train_image_metadata.json", "objects.json", "predicates.json"),
        lambda folder, counts: read_vrd(folder, "train", counts),
        "VRD: MIT, as published with ReferringRelationships",
        "Lu et al., Visual Relationship Detection with Language Priors, ECCV 2016",
        ("annotations_test.json", "test_image_metadata.json"),
        lambda folder, counts: read_vrd(folder, "test", counts),
    ),
    "vg150-images": Origin(
        (
            *(f"{kind}_{half}.json" for kind in ("annotations", "predicates") for half in "ab"),
            "objects.json",
            "largest_box_edges.json",
        ),
        read_vg150,
        "Visual Genome: CC BY 4.0",
        "Krishna et al., Visual Genome, IJCV 2017; its 150 names: Xu et al., CVPR 2017",
    ),
    "v-coco": Origin(
        ("instances_vcoco_trainval.json",),
        lambda folder, counts: read_v_coco(folder, "trainval", counts),
        "V-COCO: MIT; its boxes, of COCO: CC BY 4.0",
        "Gupta and Malik, Visual Semantic Role Labeling, 2015; Lin et al., Microsoft COCO, ECCV 2014",
        ("instances_vcoco_test.json",),
        lambda folder, counts: read_v_coco(folder, "test", counts),
    ),
}


def prepare(options: PrepareOptions) -> Source:
    """The layouts of a folder; raises `UsageError` where it has none of the data sets, or half of one."""
    there = {name: origin for name, origin in ORIGINS.items() if (options.data / name).is_dir()}
    if not there:
        raise UsageError(f"{options.data} has none of the folders {', '.join(ORIGINS)}; put one there (docs/data.md)")
    files = [options.data / name / file for name, origin in there.items() for file in (*origin.files, *origin.test)]
    missing = [path.relative_to(options.data).as_posix() for path in files if not path.is_file()]
    if missing:
        raise UsageError(f"{options.data} lacks {', '.join(missing)}; put them there (docs/data.md)")

    def read(counts: Counts) -> dict[str, SplitSource]:
        splits = {name: split_source(options.data, there, name == "val") for name in ("train", "val")}
        if tested:
            splits["test"] = SplitSource(lambda counts: test_scenes(options.data, tested, counts))
        return splits

    tested = {name: origin for name, origin in there.items() if origin.test}
    facts = {"from": list(there), "test": f"{TEST} {', '.join(tested)}" if tested else NO_TEST}
    licence = "; ".join(origin.licence for origin in there.values())
    attribution = "; ".join(origin.attribution for origin in there.values())
    return Source("Layouts without pictures", licence, attribution, tuple(files), {}, read, facts)


def test_scenes(data: Path, tested: dict[str, Origin], counts: Counts) -> Iterator[Scene]:
    """What is for the test alone, of all data sets that have that, one after another."""
    for name, origin in tested.items():
        assert origin.read_test is not None
        yield from origin.read_test(data / name, counts)


def split_source(data: Path, there: dict[str, Origin], validation: bool) -> SplitSource:
    """What is for validation, or what is not, of all data sets one after another.

    What is left out of a data set is counted once, with the pictures for training.
    """

    def scenes(counts: Counts) -> Iterator[Scene]:
        counted = Counts() if validation else counts
        found = chain.from_iterable(origin.read(data / name, counted) for name, origin in there.items())
        return (scene for scene in found if for_validation(scene.id) == validation)

    return SplitSource(scenes)
