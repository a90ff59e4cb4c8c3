"""What all tests share: no hub, and Stable Diffusion 2.1 at its full size with random weights, for slow tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # nothing here may ask a hub; it is read when that is first imported

# A folder of their own: beside `tests/train` and `tests/sg_models`, a script would take those for the packages.
FULL_SIZE = Path(__file__).with_name("full_size")
sys.path.insert(0, str(FULL_SIZE))


@pytest.fixture(scope="session")
def sd21() -> Path:
    """The folder that `make_sd21.py` writes, made now if it is not there: it takes two minutes and 9 GB."""
    from make_sd21 import CACHE, is_complete

    if not is_complete(CACHE):
        subprocess.run([sys.executable, str(FULL_SIZE / "make_sd21.py")], check=True)
    return CACHE
