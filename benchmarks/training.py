"""Pictures per second of training at SD 2.1's full size, and how much of the device's arithmetic that is.

    python benchmarks/training.py <checkpoint of random weights> result.json

Ours go through the scripts' own loop, with precomputed latents and phrase vectors, and with `--half-unet`. Beside them,
on the same weights, what a step of diffusers' `train_controlnet.py` does as its README runs it: pictures and prompts
encoded every time, all that is frozen in the precision of the run, no moving average. One after the other in one
process, several rounds; utilisation is a step's operations over its time and the rate of a large matrix product. All in
bfloat16, or in float32 on a CPU that has no instructions for it.
"""

import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import ControlNetModel, DDPMScheduler
from flops import flop_counter
from torch import Tensor

from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.phrase_features import RememberedPhrases
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel
from train.bases.stable_diffusion_2 import load_checkpoint
from train.conditioning.phrase_encoders import ClipPhrases
from train.data.dataset import TRAIN
from train.data.graph_samples import GraphSamples
from train.data.known_datasets import DatasetOptions, open_dataset
from train.objectives import layout
from train.objectives.controlnet import ControlNetDenoiser, ControlNetObjective
from train.objectives.gsa import GSADenoiser, GSAObjective, GSASizes, adapter_sizes, open_gates, parameter_groups
from train.running.loop import LoopConfig, train
from train.running.precision import AUTO, DTYPES, NAMES, autocast, keep_frozen_in, resolve

CUDA = torch.cuda.is_available()
PRECISION = resolve(AUTO)
SIDE, BATCH, STEPS, ROUNDS = (512, 4, 20, 3) if CUDA else (256, 1, 3, 2)  # of `train_controlnet.py`: 512 and 4
PICTURES = 16
MATRIX = 8192 if CUDA else 2048
PROMPT = "red circle with blue background"  # of the README of train_controlnet.py


def ours(model: torch.nn.Module, loss: Callable, samples: Callable, groups: list | None) -> float:
    """Seconds per step of the scripts' loop."""
    starts: list[float] = []

    def batch(indices: range) -> object:
        if CUDA:
            torch.cuda.synchronize()
        starts.append(time.perf_counter())
        return samples(indices)

    with tempfile.TemporaryDirectory() as folder:
        never = STEPS + 2
        config = LoopConfig(
            steps=STEPS + 1,
            batch_size=BATCH,
            run_dir=Path(folder),
            checkpoint_every=never,
            preview_every=never,
            stop_at=STEPS + 1,
        )
        train(config, model, loss, batch, parameters=groups)
    steps = [end - start for start, end in zip(starts, starts[1:], strict=False)]
    return statistics.median(steps)


def gated_attention(base: BaseModel, latents: Tensor) -> tuple[torch.nn.Module, Callable, Callable, list]:
    encode = RememberedPhrases(ClipPhrases(base))
    adapter = GSAAdapter(adapter_sizes(GSASizes(), base.unet, encode.dim), attention=train_attention(base.unet))
    open_gates(adapter)
    model = GSADenoiser(base, adapter)
    keep_frozen_in(base.unet, PRECISION)
    data = open_dataset(DatasetOptions())
    samples = GraphSamples(data.split(TRAIN, PICTURES), latents, encode)
    objective = GSAObjective(base, samples, encode, large_area=data.large_area, timestep_power=0.8)
    return model, objective.loss, samples, parameter_groups(model, 1e-3)


def layout_controlnet(base: BaseModel, latents: Tensor) -> tuple[torch.nn.Module, Callable, Callable, None]:
    encode = RememberedPhrases(ClipPhrases(base))
    model = ControlNetDenoiser(base, LayoutAdapter(layout.adapter_sizes(layout.LayoutSizes(), encode.dim)))
    model.layout.size = tuple(latents.shape[-2:])
    train_attention(model.controlnet)
    keep_frozen_in(base.unet, PRECISION)
    data = open_dataset(DatasetOptions())
    samples = GraphSamples(data.split(TRAIN, PICTURES), latents, encode, masks=True)
    objective = ControlNetObjective(base, samples, encode, large_area=data.large_area, timestep_power=0.6)
    return model, objective.loss, samples, None


def diffusers_step(base: BaseModel) -> Callable[[], None]:
    """One optimiser step as diffusers' script takes it: what is frozen is kept in the precision of the run."""
    controlnet = ControlNetModel.from_unet(base.unet).to(base.device)
    optimizer = torch.optim.AdamW(controlnet.parameters(), lr=1e-5)
    scheduler = DDPMScheduler.from_config(base.scheduler.config)
    frozen = DTYPES[PRECISION]
    for part in (base.unet, base.vae, base.text_encoder):
        keep_frozen_in(part, PRECISION)
    pictures = np.random.default_rng(0).integers(0, 256, (BATCH, SIDE, SIDE, 3), np.uint8)
    hint = torch.rand(BATCH, 3, SIDE, SIDE, device=base.device, dtype=frozen)

    def step() -> None:
        with torch.no_grad():
            latents = base.encode_pictures(pictures)
            context = base.encode_prompts([PROMPT] * BATCH)
        noise = torch.randn_like(latents)
        timesteps = torch.randint(1000, (BATCH,), device=base.device)
        noisy = scheduler.add_noise(latents, noise, timesteps).to(frozen)
        with autocast(base.device, PRECISION):
            down, middle = controlnet(noisy, timesteps, context, controlnet_cond=hint, return_dict=False)
        more = {
            "down_block_additional_residuals": [residual.to(frozen) for residual in down],
            "mid_block_additional_residual": middle.to(frozen),
        }
        predicted = base.predict(noisy, timesteps, context, **more)
        F.mse_loss(predicted.float(), noise.float()).backward()
        torch.nn.utils.clip_grad_norm_(controlnet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def seconds_of(step: Callable[[], None]) -> float:
    seconds = []
    for _ in range(STEPS + 1):
        started = time.perf_counter()
        step()
        if CUDA:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[1:])


def matrix_rate() -> float:
    """Operations per second of a large matrix product."""
    device = "cuda" if CUDA else "cpu"
    a = torch.randn(MATRIX, MATRIX, device=device, dtype=DTYPES[PRECISION])
    return 2 * MATRIX**3 / min(seconds_of(lambda: a @ a) for _ in range(3))


def fresh(checkpoint: Path) -> BaseModel:
    return load_checkpoint(checkpoint, "epsilon").to("cuda" if CUDA else "cpu").freeze()


def our_case(checkpoint: Path, make: Callable) -> dict[str, float]:
    """Seconds and operations of a step of one of our scripts."""
    base = fresh(checkpoint)
    model, loss, samples, groups = make(base, torch.randn(PICTURES, 4, SIDE // 8, SIDE // 8))
    model, batch = model.to(base.device), samples(range(BATCH))  # whose phrases are encoded once in a training
    with flop_counter() as counter, autocast(base.device, PRECISION):
        value, _ = loss(model, batch, torch.Generator(base.device).manual_seed(0), 0)
        value.backward()
    seconds = min(ours(model, loss, samples, groups) for _ in range(ROUNDS))
    return {"seconds": seconds, "flops": counter.get_total_flops()}


def diffusers_case(checkpoint: Path) -> dict[str, float]:
    """The same of diffusers' script."""
    step = diffusers_step(fresh(checkpoint))
    with flop_counter() as counter:
        step()
    return {"seconds": min(seconds_of(step) for _ in range(ROUNDS)), "flops": counter.get_total_flops()}


def main(checkpoint: Path, result: Path) -> None:
    torch.manual_seed(0)
    cases = {}
    for name, measure in (
        ("ours: train_gsa.py", partial(our_case, make=gated_attention)),
        ("ours: train_controlnet.py", partial(our_case, make=layout_controlnet)),
        ("diffusers: train_controlnet.py", diffusers_case),
    ):
        cases[name] = measure(checkpoint)
        gc.collect()  # one model's moments and gradients leave no room for the next one's
    device = torch.cuda.get_device_name() if CUDA else "CPU"
    settings = {"side": SIDE, "batch": BATCH, "device": device, "threads": torch.get_num_threads()}
    settings["precision"] = NAMES[PRECISION]
    text = json.dumps(settings | {"matrix_rate": matrix_rate(), "cases": cases}, indent=1)
    result.write_text(text)
    print(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
