"""Trains the learned prior of arrangements: where things are, how large, and what a predicate does to two boxes.

    python train/prepare.py layouts --data <folder with vrd/, vg150-images/ and v-coco/>
    python train/train_arrange.py --data <the same folder>

It takes whatever data set has boxes (docs/data.md), without pictures. Phrases become vectors by a table that is made
from a sentence model once and written to the file; no text model is needed to use it.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.arrangement.prior_file import PriorFile, read_prior_file, write_prior_file
from sg_models.arrangement.prior_network import PriorNetwork
from train.conditioning.distilled_phrases import distil
from train.conditioning.phrase_encoders import BertPhrases, packaged_bert
from train.data.arrangement_samples import ArrangementSamples, whole_graphs
from train.data.dataset import VALIDATION, check_boxes, training_split
from train.data.known_datasets import DatasetOptions, open_dataset
from train.objectives.arrangement import PriorObjective, PriorSizes, network_sizes
from train.running.command_line import UsageError, run
from train.running.loop import LoopConfig, train

VALIDATION_GRAPHS = 1000
PICTURES = 24000  # of Shapes, which has no end
TEMPERATURE = 0.6  # of samples: the best of 8 is nearest to true boxes (docs/results.md)


@dataclass
class Config(LoopConfig, DatasetOptions, PriorSizes):
    dataset: str = "layouts"
    flips: bool = True
    bert: str | None = None
    """a folder or hub id of another sentence model than the packaged one, for the table of phrase vectors"""
    phrases_from: Path | None = None
    """an earlier prior's file to take the table of phrase vectors from"""
    init_from: Path | None = None
    """an earlier prior's file to go on from, with its sizes and its table; a checkpoint in run_dir wins"""
    without: str = ""
    """names whose objects are left out of training, with commas between them: what is it worth for new names?"""
    objects: int = 24
    """most objects of a graph that is trained on"""
    dropout: float = 0.1
    steps: int = 1200
    batch_size: int = 128
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    mixed_precision: str = "no"
    preview_every: int = 600
    pictures: int | None = None
    """training scenes; all that there are if left out, 24,000 of Shapes"""
    temperature: float = TEMPERATURE
    """of samples, written to the file"""
    attribution: str = ""
    """what the file is to say of its sources and their licences"""
    run_dir: Path = Path("runs/arrange")
    out: Path | None = None
    """the prior, layout-prior.safetensors in run_dir if left out"""


def main(config: Config) -> None:
    data = open_dataset(replace(config, flips=False))  # samples mirror boxes themselves, at no cost
    splits = training_split(data, config.pictures, PICTURES), data.split(VALIDATION, VALIDATION_GRAPHS)
    check_boxes(splits[0])
    without = frozenset(filter(None, config.without.split(",")))
    graphs, validation = (whole_graphs(split.graphs, config.objects, without) for split in splits)
    if not graphs or not validation:
        raise UsageError(f"no graph of {data.name} is left with the names that are not in --without; leave out fewer")
    earlier = read_prior_file(config.init_from) if config.init_from else None
    vectors = earlier.vectors if earlier else phrase_vectors(config)
    sizes = earlier.config if earlier else network_sizes(config, vectors.dim)
    torch.manual_seed(config.seed)
    network, objective = PriorNetwork(**sizes, dropout=config.dropout), PriorObjective(validation, vectors)
    if earlier:
        network.load_state_dict(earlier.network().state_dict())
    samples = ArrangementSamples(graphs, vectors, config.seed, config.flips)
    train(config, network, objective.loss, samples, report=objective.report)
    write_prior_file(
        config.out or config.run_dir / "layout-prior.safetensors",
        PriorFile(
            vectors,
            {name: tensor.half() for name, tensor in network.state_dict().items()},
            sizes,
            data.name,
            config.steps + (earlier.steps if earlier else 0),
            config.attribution,
            config.temperature,
        ),
    )


def phrase_vectors(config: Config) -> PhraseVectors:
    """The table that is asked for: of an earlier file, or made anew from a sentence model."""
    if config.phrases_from:
        return read_prior_file(config.phrases_from).vectors
    return distil(BertPhrases(config.bert or packaged_bert()))


if __name__ == "__main__":
    run(main, Config)
