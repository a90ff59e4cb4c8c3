"""The contract of data sets: the base's own size, masks or none, and a judge that reads any size."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.adapters.variants import PHRASE_ENCODERS
from sg_models.graph.scene_graph import Relation
from sg_models.verification.shapes.silhouettes import SIDE
from train.conditioning.phrase_encoders import ENCODERS, ClipPhrases
from train.data.dataset import TRAIN
from train.data.graph_samples import GraphSamples
from train.data.known_datasets import DATASETS, DatasetOptions, open_dataset
from train.data.latents import split_latents
from train.data.prepared.preparation import prepare
from train.data.prepared.preparer import PrepareOptions
from train.data.prepared.preparers import PREPARERS, find_source
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.objectives.layout import LayoutLosses, LayoutSizes, adapter_sizes
from train.running.command_line import UsageError

SIZES = LayoutSizes(graph_dim=16, graph_hidden=16, graph_layers=1, box_layers=1, layout_width=16, channels=4)


def folder_of_pictures(data: Path) -> Path:
    """Pictures of one's own, prepared."""
    for i in range(60):
        Image.new("RGB", (80, 64), (i, 90, 60)).save(data / f"{i}.png")
        (data / f"{i}.json").write_text('{"objects": [{"name": "wall", "box": [0, 0, 1, 0.5]}]}')
    options = PrepareOptions("folder", data)
    prepare(find_source(options), options)
    return data


@pytest.mark.parametrize("name", [Shapes.name, "folder"])
def test_a_data_set_has_what_training_asks(name: str, tmp_path: Path):
    data = open_dataset(DatasetOptions(name, None if name == Shapes.name else folder_of_pictures(tmp_path)))
    assert data.name == name and data.title and 0 < data.large_area < 1
    for split_name in (TRAIN, "val", *data.test_splits):
        split = data.split(split_name, 3)
        assert (split.dataset, split.name, len(split.graphs)) == (name, split_name, 3)
        assert all(thing.box is not None for graph in split.graphs for thing in graph.objects)
        pictures = split.pictures([2, 0], 64)
        assert pictures.shape == (2, 64, 64, 3) and pictures.dtype == np.uint8
        assert split.fingerprint() == data.split(split_name, 2).fingerprint()


@pytest.mark.parametrize("name", PREPARERS)
def test_what_is_prepared_is_a_data_set_that_asks_for_its_folder(name: str, tmp_path: Path):
    with pytest.raises(UsageError, match=f"where is {name}[?] write --data"):
        open_dataset(DatasetOptions(name))
    with pytest.raises(UsageError, match="run train/prepare.py first"):
        open_dataset(DatasetOptions(name, tmp_path))


def test_every_data_set_but_shapes_is_prepared():
    assert set(DATASETS) == {Shapes.name, *PREPARERS}


def test_an_unknown_data_set_is_named():
    with pytest.raises(UsageError, match="no data set 'photos'; write --dataset shapes"):
        open_dataset(DatasetOptions(dataset="photos"))


def test_every_phrase_encoder_of_the_table_can_be_trained_with():
    assert set(ENCODERS) == set(PHRASE_ENCODERS)


@pytest.mark.parametrize("side", [64, 256, 512])
def test_shapes_are_rendered_at_any_size(side: int):
    """The same scene, not a stretched picture of it: the noise is per pixel, and edges are as sharp."""
    split = ShapesSplit("val", 8)
    for place in range(8):
        (usual,), (other,) = (split.pictures([place], s).astype(float) for s in (SIDE, side))
        small = min(side, SIDE)
        a, b = (x.reshape(small, len(x) // small, small, len(x) // small, 3).mean((1, 3)) for x in (usual, other))
        assert np.abs(a - b).mean() < 4, "another scene"
    assert np.array_equal(split.pictures([0], SIDE), split.pictures([0], SIDE))


@pytest.mark.parametrize("side", [256, 512])
def test_the_oracle_judges_pictures_of_any_size(side: int):
    data, split = Shapes(), ShapesSplit("held-out", 20)
    verdicts = [data.judge(p, g) for p, g in zip(split.pictures(range(20), side), split.graphs, strict=True)]
    assert all(verdict.exact for verdict in verdicts)


def test_latents_have_the_bases_own_size(base, tmp_path):
    """Not that of SG-Mini's pictures: a base of 256 pixels trains on latents of 32 × 32."""
    base.unet.register_to_config(sample_size=32)
    assert base.side == 256
    latents = split_latents(base, ShapesSplit(TRAIN, 2), tmp_path)[:]
    assert latents.shape == (2, 4, 32, 32)
    base.unet.register_to_config(sample_size=16)
    assert split_latents(base, ShapesSplit(TRAIN, 2), tmp_path)[:].shape == (2, 4, 16, 16)


class WithoutMasks(ShapesSplit):
    def masks(self, place: int, side: int) -> None:
        return None


class WithOtherWords(ShapesSplit):
    """Relations that are not spatial, as photographs have them."""

    @property
    def graphs(self):
        return [
            replace(graph, relations=tuple(Relation(r.subject, "riding", r.object) for r in graph.relations))
            for graph in super().graphs
        ]


def losses_of(base, split) -> dict[str, torch.Tensor]:
    encode = RememberedPhrases(ClipPhrases(base))
    samples = GraphSamples(split, torch.zeros(4, 0), encode, masks=True)
    torch.manual_seed(0)
    model = LayoutLosses(LayoutAdapter(adapter_sizes(SIZES, encode.dim)), (16, 16))
    losses, _ = model(samples.whole().encoded)
    return losses


def test_without_masks_their_loss_drops_out(base):
    assert set(losses_of(base, ShapesSplit("val", 4))) == {"boxes", "masks", "cells"}
    losses = losses_of(base, WithoutMasks("val", 4))
    assert set(losses) == {"boxes", "cells"} and all(value.isfinite() for value in losses.values())


def test_predicates_that_no_loss_knows_are_ignored(base):
    losses = losses_of(base, WithOtherWords("val", 4))
    assert all(value.isfinite() for value in losses.values())
    samples = GraphSamples(WithOtherWords("val", 4), torch.zeros(4, 0), RememberedPhrases(ClipPhrases(base)))
    spatial = samples.whole().encoded.truth.spatial
    assert len(spatial) and (spatial == -1).all()
