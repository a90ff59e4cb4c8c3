"""The one training loop: mixed precision, accumulation, EMA, exact resume, trackers, previews.

Every script hands it a module, a loss and a function from sample indices to a batch. All randomness of a step follows
from (seed, step, process), so that a run that was interrupted and resumed ends in the same weights as one that was not.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import ProjectConfiguration, set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from train.running.precision import AUTO, autocast, resolve

# loss(model, batch, generator, optimiser step)
Loss = Callable[[nn.Module, Any, torch.Generator, int], tuple[Tensor, dict[str, float]]]


@dataclass
class LoopConfig:
    """How to train; every field is an option of every script."""

    steps: int = 1000
    """optimiser steps"""
    batch_size: int = 64
    """samples per process and forward pass"""
    accumulate: int = 1
    """forward passes per optimiser step"""
    learning_rate: float = 1e-3
    warmup: int = 100
    """steps of linear warm-up, before a cosine decay to zero"""
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    ema_decay: float = 0.999
    """of the exponential moving average of the weights, which is what gets saved"""
    mixed_precision: str = AUTO
    """no, fp16, bf16, or auto: bf16 where the device has instructions for it, else no"""
    seed: int = 0
    run_dir: Path = Path("runs/default")
    """checkpoints, logs and previews; a run that finds a checkpoint there goes on from it"""
    checkpoint_every: int = 250
    preview_every: int = 500
    log_every: int = 10
    stop_at: int | None = None
    """leave after this step with a checkpoint, as an interruption would; the schedule still ends at `steps`"""


class _Progress:
    """The step counter, kept in the checkpoint."""

    def __init__(self) -> None:
        self.step = 0

    def state_dict(self) -> dict[str, int]:
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.step = state["step"]


def train(
    config: LoopConfig,
    model: nn.Module,
    loss: Loss,
    batch: Callable[[Sequence[int]], Any],
    *,
    parameters: list[dict[str, Any]] | None = None,
    preview: Callable[[nn.Module, Path], None] | None = None,
    report: Callable[[nn.Module], dict[str, float]] | None = None,
) -> nn.Module:
    """Trains `model` in place and returns it with the averaged weights.

    `loss(model, batch, generator, step)` gives the loss and figures to log; `batch(indices)` the samples of a step,
    indices counting up without end; `parameters` optimiser groups (default: all that require gradients);
    `preview(averaged model, path without ending)` draws; `report(model)` adds slower figures, at every preview.
    """
    accelerator = Accelerator(
        mixed_precision=resolve(config.mixed_precision),
        gradient_accumulation_steps=config.accumulate,
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(config.run_dir), logging_dir=str(config.run_dir / "logs")),
    )
    set_seed(config.seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters or [{"params": trained}],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.99),
        fused=True,
    )
    # accelerate steps a prepared schedule once per process and optimiser step
    processes = accelerator.num_processes
    schedule = get_scheduler(
        "cosine",
        optimizer,
        num_warmup_steps=config.warmup * processes,
        num_training_steps=config.steps * processes,
    )
    ema = EMAModel(trained, decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    progress = _Progress()
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    ema.to(accelerator.device)
    accelerator.register_for_checkpointing(ema, progress)
    accelerator.init_trackers("train")
    _resume(accelerator, config.run_dir)

    end = min(config.steps, config.stop_at or config.steps)
    bar = tqdm(total=config.steps, initial=progress.step, disable=not accelerator.is_main_process, mininterval=5)
    while progress.step < end:
        figures = _step(accelerator, config, model, optimizer, schedule, loss, batch, progress.step)
        ema.step(trained)
        progress.step += 1
        bar.update()
        at_preview = progress.step % config.preview_every == 0 or progress.step == config.steps
        if at_preview:
            figures |= _with_average(
                ema, trained, accelerator.unwrap_model(model), preview, report, config, progress.step
            )
        if progress.step % config.log_every == 0 or at_preview:
            bar.set_postfix({k: f"{v:.4g}" for k, v in figures.items()})
            accelerator.log(figures, step=progress.step)
        if progress.step % config.checkpoint_every == 0 or progress.step == end:
            _save(accelerator, config.run_dir)
    bar.close()
    accelerator.end_training()
    ema.copy_to(trained)
    return accelerator.unwrap_model(model)


def step_generator(seed: int, step: int, part: int, device: torch.device) -> torch.Generator:
    """The random numbers of one forward pass, the same whenever and wherever it is run."""
    mixed = torch.Generator().manual_seed(seed).initial_seed() * 1_000_003 + step * 1_009 + part
    return torch.Generator(device).manual_seed(mixed % 2**63)


def _step(
    accelerator: Accelerator,
    config: LoopConfig,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: Any,
    loss: Loss,
    batch: Callable[[Sequence[int]], Any],
    step: int,
) -> dict[str, float]:
    """One optimiser step of `accumulate` forward passes; the figures of the last one."""
    figures: dict[str, float] = {}
    for part in range(config.accumulate):
        place = part * accelerator.num_processes + accelerator.process_index
        first = (step * config.accumulate * accelerator.num_processes + place) * config.batch_size
        generator = step_generator(config.seed, step, place, accelerator.device)
        torch.manual_seed(generator.initial_seed())  # for what a module draws itself, dropout for one
        with accelerator.accumulate(model), accelerator.autocast():
            value, figures = loss(model, batch(range(first, first + config.batch_size)), generator, step)
            accelerator.backward(value)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(model.parameters(), config.max_grad_norm)
            optimizer.step()
            schedule.step()
            optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()} at step {step}; lower --learning-rate")
    return {"loss": value.item(), "lr": schedule.get_last_lr()[0], **figures}


def _with_average(
    ema: EMAModel,
    trained: list[nn.Parameter],
    model: nn.Module,
    preview: Callable[[nn.Module, Path], None] | None,
    report: Callable[[nn.Module], dict[str, float]] | None,
    config: LoopConfig,
    step: int,
) -> dict[str, float]:
    """Draws and measures with the averaged weights, then puts the trained ones back."""
    ema.store(trained)
    ema.copy_to(trained)
    model.eval()
    with torch.no_grad():
        figures = report(model) if report else {}
        if preview:
            folder = config.run_dir / "previews"
            folder.mkdir(parents=True, exist_ok=True)
            with autocast(trained[0].device, config.mixed_precision):  # which the base may be kept in
                preview(model, folder / f"{step:06d}")
    model.train()
    ema.restore(trained)
    return figures


def _save(accelerator: Accelerator, run_dir: Path) -> None:
    """Writes the checkpoint beside the old one and then swaps them, so that one of them is always whole."""
    new, kept, old = run_dir / "checkpoint.new", run_dir / "checkpoint", run_dir / "checkpoint.old"
    accelerator.save_state(str(new))
    if accelerator.is_main_process:
        if kept.exists():
            shutil.rmtree(old, ignore_errors=True)
            kept.rename(old)
        new.rename(kept)
        shutil.rmtree(old, ignore_errors=True)
    accelerator.wait_for_everyone()


def _resume(accelerator: Accelerator, run_dir: Path) -> None:
    for name in ("checkpoint", "checkpoint.old"):
        if (run_dir / name).exists():
            accelerator.load_state(str(run_dir / name))
            return
