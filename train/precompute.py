"""Writes shards of a data set for a base: latents, graphs, masks and phrase vectors, to be trained on without pictures.

    python train/precompute.py --dataset vg --data D --base sd21-base
    python train/train_gsa.py --dataset vg --shards D/shards/vg-sd21-base-clip --base sd21-base

Under `accelerate launch`, each process writes shards of its own. What was interrupted goes on: a shard is whole or
absent. The files are ordinary WebDataset tars; `train/data/shard_files.py` says what is in them.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Literal

from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.adapters.variants import CLIP
from train.bases.base_model import BaseModel
from train.bases.load import BaseOptions, load_base
from train.conditioning.phrase_encoders import graph_features
from train.data.dataset import TRAIN, VALIDATION, Dataset, Split, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.data.shard_files import ABOUT, UNFINISHED, Origin, SplitOrigin, read_origin, write_origin
from train.data.shard_writing import NO_PHRASES, ShardWriter
from train.running.command_line import UsageError, run
from train.running.processes import this_process

PICTURES = 20_000  # of Shapes, which has no end
LONGEST_WAIT = timedelta(days=7)  # of a process for the others, which may have more to write


@dataclass
class Config(BaseOptions, DatasetOptions):
    phrases: Literal["clip", "bert", "none"] = CLIP
    """what encodes the graphs' phrases; none: their vectors are not stored, as for structure-clip and train_lora.py"""
    bert: str | None = None
    """a folder or hub id of another BERT than the packaged one"""
    pictures: int | None = None
    """training pictures; all that there are if left out, 20,000 of Shapes"""
    validation: int = 256
    """validation pictures"""
    per_shard: int = 1000
    """pictures in a file"""
    out: Path | None = None
    """the folder, <data>/shards/<dataset>-<base>-<phrases> if left out; runs/shards/… where there is no --data"""


def planned(
    config: Config, base: BaseModel, data: Dataset, splits: dict[str, Split], encode: RememberedPhrases | None
) -> Origin:
    """What shards of these options are made from."""
    return Origin(
        dataset=data.name,
        title=data.title,
        large_area=data.large_area,
        nested_rate=data.nested_rate,
        base=base.name,
        side=base.side,
        autoencoder=base.vae_fingerprint(),
        phrases=config.phrases,
        phrase_encoder=encode.encoder.fingerprint() if encode else NO_PHRASES,
        per_shard=config.per_shard,
        splits={name: SplitOrigin(len(split.graphs), split.fingerprint()) for name, split in splits.items()},
    )


def begin(folder: Path, plan: Origin) -> None:
    """Notes what is being made; raises `UsageError` where the folder holds shards of something else."""
    for name in (ABOUT, UNFINISHED):
        if (folder / name).exists():
            found = read_origin(folder / name)
            differing = [key for key in vars(plan) if getattr(plan, key) != getattr(found, key)]
            if differing:
                raise UsageError(
                    f"{folder} holds shards that were made from another {', '.join(differing)}; delete the folder, or "
                    "name another one with --out"
                )
    if not (folder / ABOUT).exists():
        write_origin(folder / UNFINISHED, plan)


def main(config: Config) -> None:
    state = this_process(timeout=LONGEST_WAIT)
    base, data = load_base(config.base, config.prediction_type).to(state.device).freeze(), open_dataset(config)
    encode = None if config.phrases == NO_PHRASES else graph_features(config.phrases, base, config.bert)
    place = config.data or Path("runs")
    folder = config.out or place / "shards" / f"{data.name}-{base.name}-{config.phrases}"
    splits = {
        TRAIN: training_split(data, config.pictures, PICTURES),
        VALIDATION: data.split(VALIDATION, config.validation),
    }
    plan = planned(config, base, data, splits, encode)
    if state.is_main_process:
        begin(folder, plan)
    state.wait_for_everyone()
    for name, split in splits.items():
        writer = ShardWriter(folder, name, base, split, encode, plan.per_shard)
        writer.write(range(state.process_index, plan.shards(name), state.num_processes))
        if state.is_main_process:
            writer.write_nested()
    state.wait_for_everyone()
    if state.is_main_process:
        write_origin(folder / ABOUT, plan)
        (folder / UNFINISHED).unlink(missing_ok=True)
        counts = ", ".join(f"{about.count:,} of {name}" for name, about in plan.splits.items())
        print(f"{folder}: {counts}")


if __name__ == "__main__":
    run(main, Config)
