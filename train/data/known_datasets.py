"""The data sets that `--dataset` names, a line each."""

from collections.abc import Callable
from dataclasses import dataclass

from train.data.dataset import Dataset
from train.data.shapes.shapes_dataset import Shapes
from train.running.command_line import UsageError

DATASETS: dict[str, Callable[[], Dataset]] = {Shapes.name: Shapes}


@dataclass
class DatasetOptions:
    dataset: str = Shapes.name
    """what to train on: shapes, the made-up world of SG-Mini"""


def open_dataset(name: str) -> Dataset:
    """The data set of a name; raises `UsageError` where there is none."""
    if name not in DATASETS:
        raise UsageError(f"there is no data set {name!r}; write --dataset {' or '.join(DATASETS)}")
    return DATASETS[name]()
