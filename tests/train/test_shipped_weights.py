"""The weights that are shipped do what the README says of them, as far as seconds on a CPU can tell."""

import numpy as np
import pytest
import torch

from sg_models import sg_mini
from sg_models.layout_adapter import graph_batch
from train.base_model import CHECKPOINTS, BaseModel, load_base
from train.conditioning import GroundedConditioner
from train.evaluate import summary
from train.graph_variation import without_boxes
from train.layout_losses import obeyed
from train.oracle import judge
from train.picture_grid import to_pil
from train.sampling import draw_graphs, starting_noise
from train.shapes import render, scene, seeds
from train.spatial_relations import RELATIONS
from train.trained_adapter import load_variant

MAX_CHECKPOINT_BYTES = 32_000_000


@pytest.fixture(scope="module")
def sg_mini_base() -> BaseModel:
    return load_base(sg_mini.NAME).frozen()


def test_checkpoint_is_small():
    assert (CHECKPOINTS / sg_mini.CHECKPOINT).stat().st_size <= MAX_CHECKPOINT_BYTES


def test_latents_have_unit_scale(sg_mini_base: BaseModel):
    pictures = np.stack([render(scene(s)) for s in seeds("val", 32)])
    latents = sg_mini_base.encode_pictures(torch.from_numpy(pictures).permute(0, 3, 1, 2) / 127.5 - 1)
    assert 0.8 < latents.std() < 1.25
    assert abs(latents.mean()) < 0.2


def round_trip(base: BaseModel, count: int) -> dict[str, list[float]]:
    """The oracle's figures on true held-out pictures that went through the autoencoder."""
    verdicts = []
    for start in range(0, count, 20):
        scenes = [scene(s) for s in seeds("held-out", 20, start)]
        pictures = torch.from_numpy(np.stack([render(s) for s in scenes])).permute(0, 3, 1, 2) / 127.5 - 1
        decoded = base.decode(base.encode_pictures(pictures))
        verdicts += [judge(np.asarray(to_pil(p)), s.graph) for p, s in zip(decoded, scenes, strict=True)]
    return summary(verdicts)


def test_autoencoder_keeps_what_the_oracle_looks_for(sg_mini_base: BaseModel):
    figures = round_trip(sg_mini_base, 200)
    # on 1,000 pictures 0.992 and 0.981
    assert figures["attribute binding"][0] >= 0.98
    assert figures["relation accuracy"][0] >= 0.96


@pytest.fixture(scope="module")
def obedience(sg_mini_base: BaseModel) -> dict[str, dict[str, list[float]]]:
    """The figures of (i), by the name of none, and of (vi), on the same few held-out graphs and the same noise."""
    graphs = [without_boxes(scene(s).graph) for s in seeds("held-out", 24)]
    noise = starting_noise(sg_mini_base, 1, len(graphs), sg_mini.SIDE)
    figures = {}
    for name in ("none", "vi"):
        pictures = draw_graphs(sg_mini_base, load_variant(sg_mini_base, name), graphs, noise)
        figures[name] = summary([judge(np.asarray(to_pil(p)), g) for p, g in zip(pictures, graphs, strict=True)])
    return figures


def test_variant_vi_obeys_held_out_graphs_and_better_than_the_caption_does(obedience: dict):
    figures = {metric: value for metric, (value, _, _) in obedience["vi"].items()}
    for metric, value in figures.items():
        assert value > obedience["none"][metric][0], metric
    assert figures["object recall"] >= 0.93
    assert figures["attribute binding"] >= 0.93
    assert figures["relation accuracy"] >= 0.9
    assert figures["exact graph"] >= 0.7


@pytest.mark.parametrize("split", ["held-out", "compositional"])
def test_predicted_layouts_obey_their_graphs(sg_mini_base: BaseModel, split: str):
    variant = load_variant(sg_mini_base, "vi")
    assert isinstance(variant, GroundedConditioner)
    adapter = variant.adapter
    graphs = [scene(s).graph for s in seeds(split, 300)]
    bare = [without_boxes(graph) for graph in graphs]
    batch = graph_batch(bare, variant.encode(bare))
    batch.relation = torch.tensor([RELATIONS.index(r.predicate) for graph in graphs for r in graph.relations])
    boxes = adapter.layout(*adapter.graph_encoder(batch.x, batch.edge_attr, batch.edge_index), batch)
    assert obeyed(boxes, batch) >= 0.95
