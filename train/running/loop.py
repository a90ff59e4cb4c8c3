"""The one training loop: mixed precision, accumulation, EMA, exact resume, trackers, previews.

Every script hands it a module, a loss and a function from sample indices to a batch. All randomness of a step follows
from (seed, step, process), so that a run that was interrupted and resumed ends in the same weights as one that was not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, ProjectConfiguration, set_seed
from diffusers.optimization import get_scheduler
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from train.running import checkpoints
from train.running.command_line import Interrupted, UsageError
from train.running.interruption import Interruption
from train.running.precision import AUTO, autocast, resolve
from train.running.processes import check_whole, is_lost_process, this_process

# loss(model, batch, generator, optimiser step)
Loss = Callable[[nn.Module, Any, torch.Generator, int], tuple[Tensor, dict[str, float]]]
Batch = Callable[[Sequence[int]], Any]
Preview = Callable[[nn.Module, Path], None]
Report = Callable[[nn.Module], dict[str, float]]


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


def train(
    config: LoopConfig,
    model: nn.Module,
    loss: Loss,
    batch: Batch,
    *,
    parameters: list[dict[str, Any]] | None = None,
    preview: Preview | None = None,
    report: Report | None = None,
) -> nn.Module:
    """Trains `model` in place and returns it with the averaged weights.

    `loss(model, batch, generator, step)` gives the loss and figures to log; `batch(indices)` the samples of a step,
    indices counting up without end; `parameters` optimiser groups (default: all that require gradients);
    `preview(averaged model, path without ending)` draws; `report(model)` adds slower figures, at every preview; of
    several processes, the first one does both. Raises `Interrupted` if a signal ends the run, with a checkpoint, and
    `UsageError` where a checkpoint cannot be written, or does not go on with these settings.
    """
    this_process()
    accelerator = Accelerator(
        mixed_precision=resolve(config.mixed_precision),
        gradient_accumulation_steps=config.accumulate,
        # a prepared schedule is stepped once per optimiser step, and not once for each process
        dataloader_config=DataLoaderConfiguration(split_batches=True),
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(config.run_dir), logging_dir=str(config.run_dir / "logs")),
    )
    check_whole(accelerator)
    set_seed(config.seed)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters or [{"params": trained}],
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        betas=(0.9, 0.99),
        fused=True,
    )
    schedule = get_scheduler("cosine", optimizer, num_warmup_steps=config.warmup, num_training_steps=config.steps)
    ema = EMAModel(trained, decay=config.ema_decay, use_ema_warmup=True, power=0.75, foreach=True)
    progress = checkpoints.Progress(config.batch_size, config.accumulate * accelerator.num_processes)
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    ema.to(accelerator.device)
    accelerator.register_for_checkpointing(ema, progress)
    accelerator.init_trackers("train")
    checkpoints.resume(accelerator, config.run_dir, progress)
    run = _Run(accelerator, config, model, optimizer, schedule, ema, trained, progress)
    try:
        interrupted = _train_on(run, loss, batch, preview, report)
    except RuntimeError as error:
        if accelerator.num_processes == 1 or not is_lost_process(error):
            raise
        raise UsageError(
            f"another process of this run has ended in step {progress.step}, and said why if it could; the same "
            f"command goes on from the last checkpoint in {config.run_dir}"
        ) from error
    accelerator.end_training()
    if interrupted:
        raise interrupted
    ema.copy_to(trained)
    return accelerator.unwrap_model(model)


@dataclass(frozen=True)
class _Run:
    """All that a step changes, as accelerate has prepared it."""

    accelerator: Accelerator
    config: LoopConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Any
    ema: EMAModel
    trained: list[nn.Parameter]
    progress: checkpoints.Progress


def _train_on(
    run: _Run, loss: Loss, batch: Batch, preview: Preview | None, report: Report | None
) -> Interrupted | None:
    """Trains from where the run is to its end; gives what is to be said if it was asked to end before."""
    accelerator, config, progress = run.accelerator, run.config, run.progress
    end = min(config.steps, config.stop_at or config.steps)
    bar = tqdm(total=config.steps, initial=progress.step, disable=not accelerator.is_main_process, mininterval=5)
    with bar, Interruption(accelerator) as interruption:
        while progress.step < end:
            figures = _step(run, loss, batch)
            bar.update()
            at_preview = progress.step % config.preview_every == 0 or progress.step == config.steps
            if progress.step % config.log_every == 0 or at_preview:
                figures = _over_processes(accelerator, figures)
                if at_preview and accelerator.is_main_process:
                    figures |= _with_average(run, preview, report)
                bar.set_postfix({k: f"{v:.4g}" for k, v in figures.items()})
                accelerator.log(figures, step=progress.step)
            stopped = interruption.asked() and progress.step < end
            if progress.step % config.checkpoint_every == 0 or progress.step == end or stopped:
                checkpoints.save(accelerator, config.run_dir)
            if stopped:
                return interruption.ending(progress.step, config.run_dir)
    return None


def step_generator(seed: int, step: int, part: int, device: torch.device) -> torch.Generator:
    """The random numbers of one forward pass, the same whenever and wherever it is run."""
    mixed = torch.Generator().manual_seed(seed).initial_seed() * 1_000_003 + step * 1_009 + part
    return torch.Generator(device).manual_seed(mixed % 2**63)


def _step(run: _Run, loss: Loss, batch: Batch) -> dict[str, float]:
    """One optimiser step of `accumulate` forward passes; the means of their figures."""
    accelerator, config, step = run.accelerator, run.config, run.progress.step
    said: list[dict[str, float]] = []
    for part in range(config.accumulate):
        place = part * accelerator.num_processes + accelerator.process_index
        first = (step * config.accumulate * accelerator.num_processes + place) * config.batch_size
        generator = step_generator(config.seed, step, place, accelerator.device)
        torch.manual_seed(generator.initial_seed())  # for what a module draws itself, dropout for one
        with accelerator.accumulate(run.model), accelerator.autocast():
            value, figures = loss(run.model, batch(range(first, first + config.batch_size)), generator, step)
            accelerator.backward(value)
            if accelerator.sync_gradients:
                accelerator.clip_grad_norm_(run.model.parameters(), config.max_grad_norm)
            run.optimizer.step()
            run.schedule.step()
            run.optimizer.zero_grad(set_to_none=True)
        if not torch.isfinite(value):
            raise FloatingPointError(f"the loss is {value.item()} at step {step}; lower --learning-rate")
        said.append({"loss": value.item(), **figures})
    run.ema.step(run.trained)
    run.progress.step += 1
    means = {name: sum(figures[name] for figures in said) / len(said) for name in said[-1]}
    return {"loss": means.pop("loss"), "lr": run.schedule.get_last_lr()[0], **means}


def _over_processes(accelerator: Accelerator, figures: dict[str, float]) -> dict[str, float]:
    """The means of figures over all processes, which must all call this."""
    if accelerator.num_processes == 1:
        return figures
    values = torch.tensor(list(figures.values()), device=accelerator.device)
    return dict(zip(figures, accelerator.reduce(values, "mean").tolist(), strict=True))


def _with_average(run: _Run, preview: Preview | None, report: Report | None) -> dict[str, float]:
    """Draws and measures with the averaged weights, then puts the trained ones back."""
    model = run.accelerator.unwrap_model(run.model)
    run.ema.store(run.trained)
    run.ema.copy_to(run.trained)
    model.eval()
    with torch.no_grad():
        figures = report(model) if report else {}
        if preview:
            folder = run.config.run_dir / "previews"
            folder.mkdir(parents=True, exist_ok=True)
            with autocast(run.trained[0].device, run.config.mixed_precision):  # which the base may be kept in
                preview(model, folder / f"{run.progress.step:06d}")
    model.train()
    run.ema.restore(run.trained)
    return figures
