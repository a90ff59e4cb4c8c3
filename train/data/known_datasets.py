"""The data sets that `--dataset` names, a line each."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from train.data.dataset import Dataset
from train.data.flips import FlippedTraining
from train.data.prepared.prepared_dataset import Prepared
from train.data.shapes.shapes_dataset import Shapes
from train.data.shards import Shards
from train.data.training_samples import ShardOptions
from train.running.command_line import UsageError


@dataclass
class DatasetOptions:
    """Which data set, and whatever any of them must know."""

    dataset: str = Shapes.name
    """shapes, the made-up world of SG-Mini; or what prepare.py prepared: vg, vg-open, vg150, coco, laion-sg, folder or
    layouts"""
    data: Path | None = None
    """the folder that prepare.py was given, for every data set but Shapes"""
    flips: bool = False
    """train on mirrored pictures as well, with left and right exchanged in their graphs; writing in them is mirrored,
    too"""


def prepared(options: DatasetOptions) -> Dataset:
    """What `prepare.py` wrote; raises `UsageError` where no folder is named or nothing was prepared there."""
    if options.data is None:
        raise UsageError(f"where is {options.dataset}? write --data <the folder that train/prepare.py was given>")
    return Prepared(options.dataset, options.data)


DATASETS: dict[str, Callable[[DatasetOptions], Dataset]] = {
    Shapes.name: lambda options: Shapes(),
    "vg": prepared,
    "vg-open": prepared,
    "vg150": prepared,
    "coco": prepared,
    "laion-sg": prepared,
    "folder": prepared,
    "layouts": prepared,
}


def open_dataset(options: DatasetOptions) -> Dataset:
    """The data set that the options name, or shards of it; raises `UsageError` where there is none."""
    if options.dataset not in DATASETS:
        raise UsageError(f"there is no data set {options.dataset!r}; write --dataset {' or '.join(DATASETS)}")
    if isinstance(options, ShardOptions) and options.shards:
        if options.flips:
            raise UsageError("shards hold what they were written with; leave out --flips, or give it to precompute.py")
        return Shards(options.shards, options.dataset)
    dataset = DATASETS[options.dataset](options)
    return FlippedTraining(dataset) if options.flips else dataset
