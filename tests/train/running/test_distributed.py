"""Several processes on one machine, which talk through gloo: the training of one, and ends that leave a checkpoint.

They are started as for GPUs: `accelerate launch --multi_gpu` calls the launcher that is called here.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("distributed_run.py")
REPOSITORY = Path(__file__).parents[3]
OPTIONS = {"steps": 4, "batch_size": 2, "checkpoint_every": 2}
TOLERANCE = 1e-3  # relative; sums in another order, and Adam's steps make most of a gradient that is almost zero
WITHIN = 60.0  # seconds from the death of a process to the end of the run; the launcher waits for half of it at most

pytestmark = pytest.mark.slow


def start(checkpoint: Path, folder: Path, processes: int, *signalled: int, **changes) -> subprocess.CompletedProcess:
    """Runs the script to its end, in that many processes."""
    folder.mkdir(exist_ok=True)
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    words = [sys.executable, *launcher, SCRIPT, checkpoint, folder, json.dumps(OPTIONS | changes), *signalled]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, timeout=300)


def losses(folder: Path) -> dict[int, float]:
    return {int(step): value for step, value in json.loads((folder / "losses.json").read_text()).items()}


def same(found: dict[int, float], expected: dict[int, float], steps: list[int]) -> None:
    assert list(found) == steps
    assert found == {step: pytest.approx(expected[step], rel=TOLERANCE) for step in steps}


@pytest.fixture(scope="module")
def whole(sg_mini_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes, from the beginning to the end."""
    folder = tmp_path_factory.mktemp("whole")
    result = start(sg_mini_checkpoint, folder, 2)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def killed(sg_mini_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The same, and the second process is killed in its fourth step; what was said, and how many seconds it took."""
    folder = tmp_path_factory.mktemp("killed")
    result = start(sg_mini_checkpoint, folder, 2, 1, 4, 9)
    assert result.returncode not in (0, None)
    return folder, result.stderr, time.time() - (folder / "killed").stat().st_mtime


def test_two_processes_train_as_one_that_takes_two_passes(sg_mini_checkpoint: Path, whole: Path, tmp_path: Path):
    """The same samples, noise and means: boxes are a mean over the objects of a pass, whoever makes the pass."""
    result = start(sg_mini_checkpoint, tmp_path, 1, accumulate=2)
    assert result.returncode == 0, result.stderr
    same(losses(tmp_path), losses(whole), [1, 2, 3, 4])
    moved = [json.loads((folder / "weights.json").read_text()) for folder in (tmp_path, whole)]
    assert moved[0] == pytest.approx(moved[1], rel=1e-4)


def test_a_killed_process_ends_the_run_in_words(killed: tuple[Path, str, float]):
    folder, said, seconds = killed
    assert "error: another process of this run has ended in step 3" in said
    assert "SIGKILL" in said  # the launcher's own words
    assert seconds < WITHIN
    assert (folder / "run" / "checkpoint").exists()


@pytest.mark.parametrize("processes", [2, 1])
def test_a_killed_run_goes_on_exactly_also_in_fewer_processes(
    sg_mini_checkpoint: Path, whole: Path, killed: tuple[Path, str, float], processes: int, tmp_path: Path
):
    """With as many passes in a step, which process makes which does not matter."""
    folder = Path(shutil.copytree(killed[0], tmp_path / "copy"))
    result = start(sg_mini_checkpoint, folder, processes, accumulate=2 // processes)
    assert result.returncode == 0, result.stderr
    same(losses(folder), losses(whole), [3, 4])


def test_other_passes_are_refused(sg_mini_checkpoint: Path, killed: tuple[Path, str, float], tmp_path: Path):
    folder = Path(shutil.copytree(killed[0], tmp_path / "copy"))
    result = start(sg_mini_checkpoint, folder, 1)
    assert result.returncode == 2
    assert "--batch-size 2 and 2 forward passes per step" in result.stderr


def test_a_signal_to_one_process_ends_all_after_the_same_step(sg_mini_checkpoint: Path, whole: Path, tmp_path: Path):
    result = start(sg_mini_checkpoint, tmp_path, 2, 1, 3, 15)
    assert result.returncode != 0
    assert "stopped by SIGTERM after step 3" in result.stderr
    result = start(sg_mini_checkpoint, tmp_path, 2)
    assert result.returncode == 0, result.stderr
    same(losses(tmp_path), losses(whole), [4])
