"""A training that `test_distributed.py` starts in several processes: an adapter of gated self-attention, in a minute.

    python distributed_run.py <checkpoint of SG-Mini> <folder> <options as JSON> [<rank> <step> <signal>]

Writes the losses that its first process logs into <folder>/losses.json. With a rank and a step, that process sends
itself that signal in that step.
"""

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.phrase_features import RememberedPhrases
from train.bases.sg_mini_checkpoint import load_sg_mini
from train.conditioning.grounded_unet import block_sizes
from train.conditioning.phrase_encoders import ClipPhrases
from train.data.dataset import TRAIN
from train.data.graph_samples import GraphSamples, SampleBatch
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.objectives.gsa import GSADenoiser, GSAObjective, open_gates, parameter_groups
from train.running import command_line, loop
from train.running.loop import LoopConfig, train
from train.running.processes import this_process

SIZES = {
    "phrase_dim": 128,
    "graph_dim": 16,
    "graph_hidden": 16,
    "graph_layers": 1,
    "box_layers": 1,
    "token_dim": 128,
    "token_hidden": 16,
    "tokens": 24,
    "position_frequencies": 4,
}
SCENES = 24


def main(checkpoint: Path, folder: Path, options: dict, rank: int = -1, step: int = -1, number: int = 0) -> None:
    state = this_process()
    base = load_sg_mini(checkpoint).freeze()
    torch.manual_seed(0)
    adapter = GSAAdapter(SIZES | {"blocks": block_sizes(base.unet)})
    open_gates(adapter)
    encode = RememberedPhrases(ClipPhrases(base))
    latents = torch.randn(SCENES, 4, 16, 16, generator=torch.Generator().manual_seed(0))
    samples = GraphSamples(ShapesSplit(TRAIN, SCENES), latents, encode)
    objective = GSAObjective(base, samples, encode, large_area=Shapes.large_area, timestep_power=0.8)
    model, started = GSADenoiser(base, adapter), []

    def batch(indices: Sequence[int]) -> SampleBatch:
        started.append(indices)
        if state.process_index == rank and len(started) == step:
            (folder / "killed").touch()
            os.kill(os.getpid(), number)
        return samples(indices)

    settings = {"warmup": 1, "mixed_precision": "no", "preview_every": 1000, "log_every": 1, "run_dir": folder / "run"}
    config = LoopConfig(**settings | options)
    logged: dict[int, float] = {}
    log = loop.Accelerator.log
    loop.Accelerator.log = lambda a, f, step: logged.update({step: f["loss"]}) or log(a, f, step=step)
    try:
        train(config, model, objective.loss, batch, parameters=parameter_groups(model, 1e-2))
    finally:
        if state.is_main_process:
            (folder / "losses.json").write_text(json.dumps(logged))
    if state.is_main_process:
        moved = sum(p.detach().double().norm().item() for p in adapter.parameters())
        (folder / "weights.json").write_text(json.dumps(moved))


if __name__ == "__main__":
    checkpoint, folder, options, *signalled = sys.argv[1:]
    with command_line.in_words():
        main(Path(checkpoint), Path(folder), json.loads(options), *map(int, signalled))
