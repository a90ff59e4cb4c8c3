"""What an adapter adds to its base, and how long it was trained: off the headers of its files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import safe_open


def training_cost(files: Sequence[Path]) -> tuple[int, int]:
    """How many parameters some files hold, and in how many steps the last of them was trained."""
    parameters, steps = 0, 0
    for path in files:
        with safe_open(path, "pt") as file:
            parameters += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())
            steps = int(file.metadata()["scene_graph.steps"])
    return parameters, steps
