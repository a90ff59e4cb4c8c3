"""An installed wheel holds every module: packages are discovered, and a new folder is one of them."""

import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("sg_models", "train")


def modules(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for package in PACKAGES for path in (root / package).rglob("*.py")}


def test_an_installed_wheel_holds_every_module(tmp_path: Path):
    source, target = tmp_path / "source", tmp_path / "installed"
    source.mkdir()
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True)
    assert modules(target) == modules(REPOSITORY)
    assert any(name.count("/") > 1 for name in modules(target)), "subfolders are in it"


def test_every_folder_of_modules_is_a_package():
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            assert (path.parent / "__init__.py").exists(), f"{path.parent} would be left out of a wheel"


def test_the_script_that_makes_full_size_weights_finds_the_packages(tmp_path: Path):
    """Only slow tests run it, and beside `tests/train` it would take that folder for the package."""
    script = REPOSITORY / "tests" / "full_size" / "make_sd21.py"
    done = subprocess.run([sys.executable, str(script), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "--out" in done.stdout, done.stderr
