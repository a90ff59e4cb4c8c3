"""The checkpoint of a run: one is always whole, and one of another kind of run is refused in words."""

import errno
import shutil
from pathlib import Path

from accelerate import Accelerator
from safetensors import SafetensorError
from torch import distributed

from train.running.command_line import UsageError

KEPT, OLD, NEW = "checkpoint", "checkpoint.old", "checkpoint.new"


class Progress:
    """The step counter, kept in the checkpoint, and how samples are dealt out: what comes next depends on both.

    `passes` are forward passes per step, of all processes together.
    """

    def __init__(self, batch_size: int, passes: int) -> None:
        self.step = 0
        self.dealt = self.found = {"batch_size": batch_size, "passes": passes}

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step} | self.dealt

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Reads what `state_dict` gave; earlier versions kept the step alone."""
        self.step = state["step"]
        self.found = {name: state.get(name, value) for name, value in self.dealt.items()}


def save(accelerator: Accelerator, run_dir: Path) -> None:
    """Writes the checkpoint beside the old one and then swaps them, so that one of them is always whole.

    Raises `UsageError` where it cannot be written; the old one stays.
    """
    new, kept, old = run_dir / NEW, run_dir / KEPT, run_dir / OLD
    try:
        accelerator.save_state(str(new))
        if accelerator.is_main_process:
            if kept.exists():
                shutil.rmtree(old, ignore_errors=True)
                kept.rename(old)
            new.rename(kept)
            shutil.rmtree(old, ignore_errors=True)
    except (OSError, RuntimeError, SafetensorError) as error:  # torch's and safetensors' own words for a full disk
        if isinstance(error, distributed.DistError):
            raise
        shutil.rmtree(new, ignore_errors=True)
        raise UsageError(_not_written(run_dir, error)) from error
    accelerator.wait_for_everyone()


def resume(accelerator: Accelerator, run_dir: Path, progress: Progress) -> None:
    """Goes on from the checkpoint of a folder, if there is one.

    Raises `UsageError` for one whose samples were dealt out otherwise: others would come next, some again and some not.
    """
    for name in (KEPT, OLD):
        if (run_dir / name).exists():
            accelerator.load_state(str(run_dir / name))
            break
    found, dealt = progress.found, progress.dealt
    if found != dealt:
        raise UsageError(
            f"{run_dir}/{name} was made with --batch-size {found['batch_size']} and {found['passes']} forward passes "
            f"per step (--accumulate times processes), this run has {dealt['batch_size']} and {dealt['passes']}; write "
            "the same to go on, or another --run-dir to start anew"
        )


def _not_written(run_dir: Path, error: Exception) -> str:
    free = shutil.disk_usage(run_dir).free / 1e9
    reason = "the disk is full" if getattr(error, "errno", None) == errno.ENOSPC else str(error)
    last = "the last one is whole" if (run_dir / KEPT).exists() or (run_dir / OLD).exists() else "there is none yet"
    return (
        f"the checkpoint cannot be written to {run_dir}, where {free:.2f} GB are free ({reason}); {last}: make room, "
        "and the same command goes on from it"
    )
