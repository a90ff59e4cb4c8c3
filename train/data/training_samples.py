"""Where the scripts' samples come from: pictures that are encoded once or in each step, or shards."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sg_models.adapters.phrase_features import EncodeGraphs, RememberedPhrases
from train.bases.base_model import BaseModel
from train.data.dataset import TRAIN, VALIDATION, Split
from train.data.graph_samples import GraphSamples
from train.data.latents import Latents, PicturesEncoded, split_latents
from train.data.shards import ShardLatents, ShardSplit, StoredPhrases
from train.running.command_line import UsageError

ONCE, EACH_STEP = "once", "each-step"


@dataclass
class ShardOptions:
    """Of the scripts that train on graphs."""

    shards: Path | None = None
    """a folder that precompute.py wrote, to be read in place of the data set"""


@dataclass
class PictureOptions(ShardOptions):
    """Of those that train on pictures, too."""

    encode: Literal["once", "each-step"] = ONCE
    """once: latents of all pictures are made before the start and kept in latents_dir; each-step: anew in every step"""
    latents_dir: Path = Path("runs/latents")


def picture_samples(
    options: PictureOptions, base: BaseModel, split: Split, encode: EncodeGraphs, **settings: Any
) -> GraphSamples:
    """Samples of a split with latents from where the options say; `settings` are those of `GraphSamples`.

    Raises `UsageError` where shards are of another base, autoencoder or phrase encoder.
    """
    return _samples(split, _latents(options, base, split), encode, settings)


def graph_samples(split: Split, encode: EncodeGraphs, **settings: Any) -> GraphSamples:
    """Samples of a split for what needs no pictures: their latents are empty."""
    return _samples(split, torch.zeros(len(split.graphs), 0), encode, settings)


def _samples(split: Split, latents: Latents | Tensor, encode: EncodeGraphs, settings: dict[str, Any]) -> GraphSamples:
    if not isinstance(split, ShardSplit):
        return GraphSamples(split, latents, encode, **settings)
    if split.name == TRAIN and split.count < split.available:
        print(f"the first {split.count:,} of {split.available:,} samples in {split.folder}; --pictures takes more")
    # what other encoders say of a phrase depends on the graph that it stands in
    stored = StoredPhrases(split, encode) if isinstance(encode, RememberedPhrases) else None
    return GraphSamples(split, latents, encode, stored=stored, starts=split.starts, **settings)


def _latents(options: PictureOptions, base: BaseModel, split: Split) -> Latents:
    if isinstance(split, ShardSplit):
        if options.encode == EACH_STEP:
            raise UsageError("shards hold no pictures to encode in each step; leave out --shards or --encode")
        return ShardLatents(split, base)
    if options.encode == EACH_STEP and split.name != VALIDATION:  # which is drawn on again and again
        return PicturesEncoded(base, split)
    return split_latents(base, split, options.latents_dir)
