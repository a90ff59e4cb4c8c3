"""Ctrl-C and its like: a run ends after the step that it is in, with a checkpoint, and says how to go on."""

import os
import shlex
import signal
import sys
import threading
from types import FrameType

import torch
from accelerate import Accelerator

from train.running.command_line import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C, and what cluster schedulers and launchers send


class Interruption:
    """Takes note of signals while a run is in its loop; a second one ends it at once.

    Of several processes, all end after the same step if any was asked to. There a second signal changes nothing: the
    launcher passes on what its processes have got already, and kills those that have not ended in half a minute.
    """

    def __init__(self, accelerator: Accelerator) -> None:
        self.accelerator, self.alone = accelerator, accelerator.num_processes == 1
        self.number: int | None = None
        self.before: dict[int, object] = {}

    def __enter__(self) -> "Interruption":
        if threading.current_thread() is threading.main_thread():  # no other may
            heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # as nohup has it
            self.before = {number: signal.signal(number, self._note) for number in heard}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def asked(self) -> bool:
        """Whether the run is to end; asks all processes, which must all call this."""
        if self.alone:
            return self.number is not None
        noted = torch.tensor(float(self.number or 0), device=self.accelerator.device)
        total = int(self.accelerator.reduce(noted, "sum").item())
        if total and self.number is None:
            self.number = signal.SIGTERM
        return total > 0

    def ending(self, step: int, run_dir: object) -> Interrupted:
        """What the run ends with, after a checkpoint of a step."""
        number = signal.Signals(self.number or signal.SIGTERM)
        several = ["accelerate", "launch", f"--num_processes={self.accelerator.num_processes}"]
        command = shlex.join([*(["python"] if self.alone else several), *sys.argv])
        text = f"stopped by {number.name} after step {step}, which is in {run_dir}/checkpoint; the same command goes on"
        return Interrupted(f"{text}:\n{command}", number)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        again = "; once more ends at once" if self.alone else ""
        os.write(2, f"\nending after this step, with a checkpoint{again}\n".encode())  # print may be at work already
        if self.alone:
            self.__exit__()
