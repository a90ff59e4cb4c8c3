"""What a step of training takes from shards, from a cache of latents, and from pictures encoded in each step.

    PYTHONPATH=. python benchmarks/latents.py

The steps are those of `train_gsa.py` on SG-Mini and Shapes, at its own batch; sources take turns. Seconds are those of
the processor, so that they say the same beside other work, and the losses of all three are printed.
"""

import itertools
import statistics
import tempfile
import time
from pathlib import Path

import torch

from sg_models.adapters.gsa_adapter import GSAAdapter
from sg_models.adapters.phrase_features import RememberedPhrases
from train.bases.attention import train_attention
from train.bases.base_model import BaseModel
from train.bases.load import TrainingOptions, load_training_base
from train.conditioning.phrase_encoders import ClipPhrases
from train.data.dataset import TRAIN
from train.data.shapes.shapes_dataset import Shapes
from train.data.shard_files import ABOUT, Origin, SplitOrigin, write_origin
from train.data.shard_writing import ShardWriter
from train.data.shards import Shards
from train.data.training_samples import EACH_STEP, PictureOptions, picture_samples
from train.objectives.gsa import GSADenoiser, GSAObjective, GSASizes, adapter_sizes, open_gates

PICTURES, BATCH, STEPS = 128, 32, 6


def write_shards(folder: Path, base: BaseModel, data: Shapes, encode: RememberedPhrases) -> None:
    """As `precompute.py` does."""
    split = data.split(TRAIN, PICTURES)
    writer = ShardWriter(folder, TRAIN, base, split, encode, BATCH)
    writer.write(range(PICTURES // BATCH))
    writer.write_nested()
    about = (data.name, data.title, data.large_area, data.nested_rate, base.name, base.side, base.vae_fingerprint())
    phrases = (encode.encoder.name, encode.encoder.fingerprint(), BATCH)
    origin = Origin(*about, *phrases, {TRAIN: SplitOrigin(PICTURES, split.fingerprint())})
    write_origin(folder / ABOUT, origin)


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    base, data = load_training_base(TrainingOptions()), Shapes()
    encode = RememberedPhrases(ClipPhrases(base))
    pictures, options = data.split(TRAIN, PICTURES), PictureOptions(latents_dir=folder)
    write_shards(folder / "shards", base, data, encode)
    each = PictureOptions(encode=EACH_STEP)
    shards = Shards(folder / "shards", data.name).split(TRAIN, PICTURES)
    sources = {
        "shards": picture_samples(options, base, shards, encode, nested_rate=data.nested_rate),
        "once": picture_samples(options, base, pictures, encode, nested_rate=data.nested_rate),
        EACH_STEP: picture_samples(each, base, pictures, encode, nested_rate=data.nested_rate),
    }
    adapter = GSAAdapter(adapter_sizes(GSASizes(), base.unet, encode.dim), attention=train_attention(base.unet))
    open_gates(adapter)
    model = GSADenoiser(base, adapter)
    objective = GSAObjective(base, sources["once"], encode, large_area=data.large_area, timestep_power=0.8)
    seconds: dict[str, list[float]] = {name: [] for name in sources}
    for step, (name, samples) in itertools.product(range(STEPS + 1), sources.items()):
        started = time.process_time()
        batch = samples(range(step * BATCH, (step + 1) * BATCH))
        loss, _ = objective.loss(model, batch, torch.Generator().manual_seed(step), step)
        loss.backward()
        seconds[name].append(time.process_time() - started)
        print(f"step {step}, {name}: loss {loss.item():.5f}, {seconds[name][-1]:.3f} s", flush=True)
    medians = {
        name: statistics.median(values[1:]) for name, values in seconds.items()
    }  # phrases are encoded in the first
    print({name: f"{value:.3f} s, {value / medians['shards']:.2f} of shards'" for name, value in medians.items()})


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        main(Path(name))
