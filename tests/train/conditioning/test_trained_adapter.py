"""Which files a variant is made of, for whoever keeps figures of it."""

from pathlib import Path

from train.bases.model_folders import ADAPTERS
from train.conditioning.trained_adapter import variant_files


def test_an_adapter_and_a_base_at_paths_are_the_files_that_figures_depend_on():
    path = ADAPTERS / "vi-gsa-clip-sg-mini.safetensors"
    assert variant_files(str(path), "other.safetensors") == [Path("other.safetensors"), path]
    assert variant_files(str(path), "sg-mini") == variant_files("vi", "sg-mini")
