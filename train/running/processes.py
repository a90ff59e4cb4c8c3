"""Which of a run's processes this is, as `accelerate launch` or `torchrun` started them."""

import os

import torch
from accelerate import Accelerator, DistributedType, PartialState

from train.running.command_line import UsageError

# of gloo and of NCCL, when another process is no longer there
LOST = ("closed by peer", "Connection reset", "remote process exited", "Broken pipe")


def this_process(**settings: object) -> PartialState:
    """accelerate's state of this process; to be asked for before anything else asks accelerate.

    Without being told, accelerate takes processes that share a CPU for so many runs of their own, each of which would
    write the same files. `settings` are those of the process group. Raises `UsageError` where it does so anyway.
    """
    launched = int(os.environ.get("WORLD_SIZE", 1))
    alone = PartialState._shared_state == {}
    on_cpu = launched > 1 and alone and not torch.accelerator.is_available()
    state = PartialState(cpu=True, **settings) if on_cpu else PartialState(**settings)
    if launched > 1 and state.num_processes != launched:
        raise UsageError(
            f"{launched} processes were started, and accelerate takes them for {state.num_processes}: it was asked for "
            "something before train.running.processes.this_process was; report this with the command"
        )
    return state


def is_lost_process(error: Exception) -> bool:
    """Whether an error says no more than that another process of the run has ended."""
    return any(words in str(error) for words in LOST)


def check_whole(accelerator: Accelerator) -> None:
    """Raises `UsageError` where accelerate is asked to deal out a model's weights among processes.

    The averaged weights, previews and checkpoints of the loop are of whole models.
    """
    kind = accelerator.distributed_type
    if kind in (DistributedType.FSDP, DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise UsageError(
            f"every process keeps the whole model here, and accelerate is asked for {kind.value}, which would not deal "
            "out the frozen base: take --half-unet and --gradient-checkpointing where memory is short"
        )
