"""The library leaves the process alone that imports it."""

import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
IMPORT_ALL = """
import importlib, pkgutil, warnings
import einops, networkx, PIL.ImageFont, safetensors.torch, torch, torch_geometric.nn  # theirs may do as they please
import scipy.ndimage, scipy.optimize, scipy.sparse, torchvision.ops
before = list(warnings.filters)
import sg_models
for module in pkgutil.walk_packages(sg_models.__path__, "sg_models."):
    importlib.import_module(module.name)
assert warnings.filters == before, warnings.filters[:3]
"""


def test_importing_the_library_changes_no_warning_filters():
    done = subprocess.run([sys.executable, "-c", IMPORT_ALL], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
