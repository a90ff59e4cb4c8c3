"""Objects whose boxes a data set does not know: they take no part in whatever is learned from boxes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from sg_models.adapters.adapter import read_adapter
from sg_models.adapters.gsa_adapter import build_gsa_adapter
from sg_models.adapters.layout_adapter import LayoutAdapter
from sg_models.adapters.phrase_features import RememberedPhrases
from sg_models.graph.scene_graph import SceneGraph, SceneGraphError
from sg_models.layers.graph_batch import NOWHERE, graph_batch
from sg_models.layers.layout import warp
from train import train_controlnet, train_gsa, train_layout
from train.conditioning.phrase_encoders import ClipPhrases
from train.data.dataset import check_boxes, check_room, count_objects
from train.data.graph_samples import GraphSamples, no_features
from train.data.graph_variation import without_boxes
from train.data.shapes.shapes_dataset import Shapes, ShapesSplit
from train.losses.layout_losses import box_figures, box_loss, cell_classes
from train.losses.object_weights import object_weights
from train.objectives.gsa import GSADenoiser, GSAObjective
from train.objectives.layout import LayoutLosses
from train.report import previews
from train.running.command_line import UsageError

LAYOUT_SIZES = {
    "phrase_dim": 128,
    "graph_dim": 16,
    "graph_hidden": 16,
    "graph_layers": 1,
    "box_layers": 1,
    "objects": 8,
    "layout_width": 16,
    "channels": 4,
}


class Gaps:
    """A split of Shapes of which some objects' boxes are not known."""

    dataset = "gaps"

    def __init__(self, name: str, count: int, known: Sequence[int] = ()) -> None:
        self.whole, self.name = ShapesSplit(name, count), name
        self.nested = self.whole.nested
        self.graphs = [
            graph if place in known else without_boxes(graph) for place, graph in enumerate(self.whole.graphs)
        ]

    def pictures(self, places: Sequence[int], side: int) -> np.ndarray:
        return self.whole.pictures(places, side)

    def masks(self, place: int, side: int) -> Tensor:
        return self.whole.masks(place, side)

    def fingerprint(self) -> str:
        return self.whole.fingerprint()


class Boxless(Shapes):
    """Shapes without boxes."""

    name = Gaps.dataset

    def split(self, name: str, count: int) -> Gaps:
        return Gaps(name, count)


@pytest.fixture
def samples(base) -> GraphSamples:
    """Of two scenes, the first alone with boxes."""
    return GraphSamples(
        Gaps("train", 2, known=[0]), torch.randn(2, 4, 16, 16), RememberedPhrases(ClipPhrases(base)), masks=True
    )


def first_without(graph: SceneGraph) -> SceneGraph:
    return replace(graph, objects=(replace(graph.objects[0], box=None), *graph.objects[1:]))


def test_targets_say_which_boxes_are_known(samples: GraphSamples):
    graphs = samples.split.graphs
    truth = samples.encode_batch(graphs, range(2)).truth
    assert truth.placed.tolist() == [True] * len(graphs[0].objects) + [False] * len(graphs[1].objects)
    assert set(map(tuple, truth.boxes[~truth.placed].tolist())) == {NOWHERE}


def test_losses_are_those_of_the_batch_without_them(samples: GraphSamples):
    graphs = samples.split.graphs
    both, one = samples.encode_batch(graphs, range(2)), samples.encode_batch(graphs[:1], [0])
    predicted = torch.rand(len(both.x), 2).repeat(1, 2) / 2 + torch.tensor([0, 0, 0.3, 0.4])
    assert torch.equal(box_loss(predicted, both), box_loss(predicted[: len(one.x)], one))
    assert box_figures(predicted, both)["box IoU"] == box_figures(predicted[: len(one.x)], one)["box IoU"]


def test_a_relation_to_one_of_them_does_not_count(samples: GraphSamples):
    graph = samples.split.graphs[0]
    samples.split.graphs[0] = first_without(graph)
    batch = samples.encode_batch([graph], [0])
    boxes = torch.tensor([thing.box for thing in graph.objects])
    moved = boxes.clone()
    moved[0] = torch.tensor([0.4, 0.4, 0.5, 0.5])
    assert torch.equal(box_loss(boxes, batch), box_loss(moved, batch))


def test_they_cover_no_cell_and_no_cell_is_asked_about_them(samples: GraphSamples):
    batch = samples.encode_batch(samples.split.graphs, range(2))
    truth = batch.truth
    assert not warp(truth.masks.float(), truth.boxes, (16, 16))[~truth.placed].any()
    cells = cell_classes(truth.masks.float(), truth.boxes, batch.batch, (16, 16))
    assert cells[0].any() and not cells[1].any()


def test_a_layout_learns_nothing_from_their_masks(samples: GraphSamples):
    model = LayoutLosses(LayoutAdapter(LAYOUT_SIZES), (16, 16))
    batch = samples.encode_batch(samples.split.graphs, range(2))
    losses, layout = model(batch)
    masks = batch.truth.masks.clone()
    masks[~batch.truth.placed] = ~masks[~batch.truth.placed]
    others, _ = model(replace(batch, targets=replace(batch.truth, masks=masks)))
    assert losses == others and layout.control.isfinite().all()


def test_a_batch_of_them_alone_has_losses_that_are_numbers(samples: GraphSamples):
    model = LayoutLosses(LayoutAdapter(LAYOUT_SIZES), (16, 16))
    losses, _ = model(samples.encode_batch(samples.split.graphs[1:], [1]))
    torch.stack(list(losses.values())).sum().backward()
    assert losses["boxes"] == 0 and losses["masks"] == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.adapter.layout.box.parameters())


def test_a_picture_without_boxes_weighs_the_same_everywhere():
    boxes = torch.tensor([[0.2, 0.2, 0.4, 0.4], NOWHERE, NOWHERE])
    weights = object_weights(boxes, torch.tensor([0, 0, 1]), 2, (16, 16), 0.1)
    assert weights.mean().item() == pytest.approx(1)
    assert weights[1].unique().numel() == 1 and weights[0].unique().numel() > 1
    assert torch.equal(weights, object_weights(boxes[:1], torch.tensor([0]), 2, (16, 16), 0.1))


def test_a_token_of_theirs_has_the_null_box_and_is_seen_everywhere(make_adapter, samples: GraphSamples):
    adapter = make_adapter()
    batch = samples.encode_batch(samples.split.graphs, range(2))
    objects, relations = adapter.graph_encoder(batch.x, batch.edge_attr, batch.edge_index)
    before = adapter.grounding(objects, relations, batch.truth.boxes, batch)
    count = len(samples.split.graphs[1].objects)
    assert (before[1, :count, -5:-1] == torch.tensor([0.0, 0, 1, 1])).all()
    with torch.no_grad():
        adapter.grounding.null_box.add_(1.0)
    after = adapter.grounding(objects, relations, batch.truth.boxes, batch)
    known = len(samples.split.graphs[0].objects)
    assert torch.equal(after[0, :known], before[0, :known])
    assert not torch.isclose(after[1, :count, :8], before[1, :count, :8]).all(dim=-1).any()


def test_an_adapter_that_was_trained_without_boxes_places_nothing(make_adapter):
    adapter = make_adapter(places_objects=False)
    graph = ShapesSplit("train", 1).graphs[0]
    bare = graph_batch([without_boxes(graph)], [(torch.zeros(len(graph.objects), 128), torch.zeros(1, 128))])
    with pytest.raises(SceneGraphError, match="trained without boxes and cannot place objects"):
        adapter.predict_boxes(bare)
    places = adapter(replace(bare, edge_attr=torch.zeros(bare.edge_index.shape[1], 128)))[0, :, -5:-1]
    assert (places == torch.tensor([0.0, 0, 1, 1])).all()


def test_gsa_learns_from_them_and_its_box_predictor_does_not(base, make_adapter, samples: GraphSamples):
    samples.split = Gaps("train", 2)
    adapter = make_adapter(gate=0.5, tokens=32).requires_grad_(True)
    objective = GSAObjective(base, samples, samples.encode, large_area=0.1, timestep_power=1.0)
    loss, _ = objective.loss(GSADenoiser(base, adapter), samples.whole(), torch.Generator().manual_seed(0))
    loss.backward()
    assert loss.isfinite() and adapter.grounding.null_box.grad.abs().sum() > 0
    assert all(not p.grad.any() for p in adapter.box_predictor.parameters() if p.grad is not None)


@pytest.fixture
def settings(sg_mini_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict:
    AcceleratorState._reset_state(True)
    for script in (train_gsa, train_layout, train_controlnet):
        monkeypatch.setattr(script, "open_dataset", lambda options: Boxless())
    monkeypatch.setattr(train_gsa, "VALIDATION_PICTURES", 2)
    draw = previews.draw_graphs
    monkeypatch.setattr(previews, "draw_graphs", lambda *args, **kwargs: draw(*args, **({"steps": 1} | kwargs)))
    return {"base": str(sg_mini_checkpoint), "steps": 2, "batch_size": 2, "pictures": 4, "mixed_precision": "no"} | {
        "run_dir": tmp_path / "run",
        "out": tmp_path / "vi-gsa-clip-sg-mini.safetensors",
    }


def test_train_gsa_writes_an_adapter_that_does_not_place_objects(settings: dict, tmp_path: Path):
    sizes = {"graph_dim": 16, "graph_hidden": 16, "graph_layers": 1, "token_hidden": 16}
    config = train_gsa.Config(**settings, **sizes, latents_dir=tmp_path / "latents", warmup=0)
    train_gsa.main(config)
    file = read_adapter(config.out)
    assert file.config["places_objects"] is False
    graph = without_boxes(ShapesSplit("val", 1).graphs[0])
    features = [(torch.zeros(len(graph.objects), 128), torch.zeros(len(graph.relations), 128))]
    assert build_gsa_adapter(file).float().tokens([graph], features).isfinite().all()


def test_layouts_end_in_a_sentence(settings: dict):
    with pytest.raises(UsageError, match="the graphs of gaps have no boxes.*prepare.py <data set> --boxes"):
        train_layout.main(train_layout.Config(**settings))
    with pytest.raises(UsageError, match="the graphs of gaps have no boxes"):
        check_boxes(Gaps("train", 2))
    check_boxes(Gaps("train", 2, known=[1]))


def test_a_graph_that_would_be_cut_off_ends_in_a_sentence(settings: dict, tmp_path: Path):
    config = train_gsa.Config(**settings, tokens=2, latents_dir=tmp_path / "latents")
    with pytest.raises(UsageError, match=r"among the 4 in gaps, train, has \d+ objects and relations.*write --tokens"):
        train_gsa.main(config)
    assert not (tmp_path / "latents").exists(), "before pictures are encoded"
    split = Gaps("train", 3, known=range(3))
    most = max(len(graph.objects) for graph in split.graphs)
    with pytest.raises(UsageError, match=f"has {most} objects, and there is room for 1; write --objects {most}"):
        check_room(split, 1, count_objects, "objects", "--objects")
    check_room(split, most, count_objects, "objects", "--objects")


def test_complete_graphs_are_as_they_were():
    split = ShapesSplit("train", 3)
    batch = GraphSamples(split, torch.zeros(3, 0), no_features).without_boxes()
    assert batch.truth.placed.all()
    assert torch.equal(batch.truth.boxes, torch.tensor([thing.box for g in split.graphs for thing in g.objects]))
