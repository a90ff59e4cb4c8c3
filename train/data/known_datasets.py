"""The data sets that `--dataset` names, a line each."""

from collections.abc import Callable
from dataclasses import dataclass

from train.data.dataset import Dataset
from train.data.shapes.shapes_dataset import Shapes
from train.running.command_line import UsageError


@dataclass
class DatasetOptions:
    """Which data set, and whatever any of them must know."""

    dataset: str = Shapes.name
    """shapes, the made-up world of SG-Mini"""


DATASETS: dict[str, Callable[[DatasetOptions], Dataset]] = {
    Shapes.name: lambda options: Shapes(),
}


def open_dataset(options: DatasetOptions) -> Dataset:
    """The data set that the options name; raises `UsageError` where there is none."""
    if options.dataset not in DATASETS:
        raise UsageError(f"there is no data set {options.dataset!r}; write --dataset {' or '.join(DATASETS)}")
    return DATASETS[options.dataset](options)
