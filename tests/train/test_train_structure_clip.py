"""Structure-CLIP's training: the paper's losses against plain loops, and negatives that mean something else."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from accelerate.state import AcceleratorState
from torch import Tensor

from sg_models.adapters.adapter import Adapter, AdapterError, write_adapter
from sg_models.adapters.structure_clip import KNOWLEDGE, build_knowledge, triples
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.hard_negatives import same_meaning
from sg_models.layers.knowledge_encoder import KnowledgeEncoder
from train import train_structure_clip
from train.conditioning.conditioners import StructureClipConditioner
from train.conditioning.initial_weights import read_structure_clip
from train.data.shapes.shapes_dataset import ShapesSplit
from train.objectives import structure_clip
from train.objectives.structure_clip import (
    CAPTION_RELATIONS,
    HARDEST_MARGIN,
    LEAST_TRIPLES,
    MEAN_NEGATIVES_STEPS,
    SWAPPED_MARGIN,
    SWAPPED_WEIGHT,
    PairBatch,
    Pairs,
    StructureCLIP,
    StructureClipObjective,
    accuracy,
    structure_loss,
)
from train.running.command_line import UsageError
from train.train_structure_clip import Config, base_towers, load_towers, main

COUNT, DIM = 5, 8


def unit(seed: int) -> Tensor:
    return F.normalize(torch.randn(COUNT, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def loss_by_hand(pictures: Tensor, graphs: Tensor, swapped: Tensor, hardest: bool) -> float:
    """One pair of a picture and a caption at a time."""

    def near(a: Tensor, b: Tensor) -> float:
        return float((a * b).sum())

    of_pictures, of_captions, margins = [], [], []
    for i in range(COUNT):
        right = near(pictures[i], graphs[i])
        others = [j for j in range(COUNT) if j != i]
        captions = [max(0.0, HARDEST_MARGIN + near(pictures[i], graphs[j]) - right) for j in others]
        seen = [max(0.0, HARDEST_MARGIN + near(pictures[j], graphs[i]) - right) for j in others]
        # the right one counts as a zero in the mean
        of_pictures.append(max(captions) if hardest else sum(captions) / COUNT)
        of_captions.append(max(seen) if hardest else sum(seen) / COUNT)
        margins.append(max(0.0, SWAPPED_MARGIN + near(pictures[i], swapped[i]) - right))
    return (sum(of_pictures) + sum(of_captions) + SWAPPED_WEIGHT * sum(margins)) / COUNT


@pytest.mark.parametrize("hardest", [False, True])
def test_loss_is_the_papers(hardest: bool):
    pictures, graphs, swapped = unit(0), unit(1), unit(2)
    expected = loss_by_hand(pictures, graphs, swapped, hardest)
    assert structure_loss(pictures, graphs, swapped, hardest).item() == pytest.approx(expected, rel=1e-5)


def test_nothing_is_lost_where_all_is_clear():
    pictures = torch.eye(COUNT, DIM)
    assert structure_loss(pictures, pictures, -pictures, hardest=True).item() == 0.0


@pytest.fixture(scope="module")
def pairs() -> Pairs:
    return Pairs(ShapesSplit("val", 24), 128)


def test_every_negative_means_something_else_in_the_same_words(pairs: Pairs):
    batch = pairs(range(40))
    for graph, negative in zip(batch.graphs, batch.negatives, strict=True):
        assert not same_meaning(graph, negative)
        assert sorted(o.name for o in graph.objects) == sorted(o.name for o in negative.objects)
        assert sorted(r.predicate for r in graph.relations) == sorted(r.predicate for r in negative.relations)


def test_the_same_index_gives_the_same_pair(pairs: Pairs):
    once, again = pairs(range(3)), pairs(range(3))
    assert torch.equal(once.pictures, again.pictures)
    assert (once.graphs, once.negatives) == (again.graphs, again.negatives)


class _Pictures:
    """A split of grey pictures with graphs of one's own."""

    dataset, name = "folder", "train"

    def __init__(self, *texts: str) -> None:
        self.graphs = [parse_scene_graph(text) for text in texts]

    def pictures(self, places, side: int) -> np.ndarray:
        return np.full((len(places), side, side, 3), 128, np.uint8)


def test_large_graphs_are_said_in_parts_that_fit():
    chain = "\n".join(f"old thing{i} | before{i} | new thing{i + 1}" for i in range(20))
    batch = Pairs(_Pictures(chain), 64, most_triples=12)(range(20))
    assert all(len(graph.relations) <= CAPTION_RELATIONS for graph in batch.graphs)
    assert all(len(triples(graph)) <= 12 for graph in [*batch.graphs, *batch.negatives])
    assert len({graph.to_json() for graph in batch.graphs}) > 5


def test_graphs_that_can_say_nothing_else_end_in_a_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(structure_clip, "MOST_PASSED_OVER", 5)
    with pytest.raises(UsageError, match="train of folder, none says anything else .* needs graphs with relations"):
        Pairs(_Pictures("dog", "cat | near | bird"), 64)(range(1))


def test_no_more_captions_are_kept_than_are_said_to_be(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(structure_clip, "MOST_CAPTIONS", 3)
    knowledge = SimpleNamespace(gate=torch.zeros(1))
    model = StructureCLIP.__new__(StructureCLIP)
    torch.nn.Module.__init__(model)
    model.captions, model.embed_captions = {}, lambda texts: torch.tensor([[float(len(t)), 1.0] for t in texts])
    object.__setattr__(model, "knowledge", knowledge)
    texts = ["a", "bb", "ccc", "dddd", "eeeee"]
    once = model.read(texts)
    assert list(model.captions) == texts[2:] and torch.equal(model.read(texts), once)


class _Oracle:
    """Stands for a model that embeds every graph as its own picture, or as the swapped one."""

    def __init__(self, right: bool) -> None:
        self.right = right
        self.knowledge = type("Knowledge", (), {"gate": torch.zeros(1)})()

    def __call__(self, pictures: Tensor, graphs: list) -> tuple[Tensor, Tensor]:
        seen = torch.ones(len(graphs), 1)
        return seen, seen if self.right else -seen

    def embed(self, graphs: list) -> Tensor:
        return torch.zeros(len(graphs), 1)


@pytest.mark.parametrize(("right", "expected"), [(True, 1.0), (False, 0.0)])
def test_accuracy_counts_the_true_captions_that_win(pairs: Pairs, right: bool, expected: float):
    assert accuracy(_Oracle(right), pairs, 10, batch=4) == expected


def test_the_seed_chooses_the_pairs():
    first, other = (Pairs(ShapesSplit("val", 24), 128, seed)(range(8)).graphs for seed in (0, 1))
    assert first != other


@pytest.mark.parametrize(
    ("step", "hardest"), [(0, False), (MEAN_NEGATIVES_STEPS - 1, False), (MEAN_NEGATIVES_STEPS, True)]
)
def test_the_hardest_negative_is_taken_after_so_many_optimiser_steps(step: int, hardest: bool):
    """Whatever the sample's index is: with two processes or accumulation that runs ahead of the steps."""
    embedded = unit(0), torch.cat([unit(1), unit(2)])
    batch = PairBatch(torch.zeros(COUNT, 3, 64, 64), [], [])
    loss, _ = StructureClipObjective(None, 0).loss(lambda *_: embedded, batch, torch.Generator(), step)
    expected = structure_loss(unit(0), unit(1), unit(2), hardest)
    assert loss.item() == expected.item() != structure_loss(unit(0), unit(1), unit(2), not hardest).item()


def test_another_base_is_read_at_its_conditioning_layer(base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With `--base` of another family; SG-Mini stands in for it, whose own towers are left aside."""
    AcceleratorState._reset_state(True)
    monkeypatch.setattr(train_structure_clip, "load_towers", lambda config: base_towers(base, config.length))
    monkeypatch.setattr(train_structure_clip, "VALIDATION_PAIRS", 4)
    out = tmp_path / "structure-clip.safetensors"
    config = Config(steps=2, batch_size=4, warmup=0, pictures=8, pairs=4, layers=1, heads=2, preview_every=2)
    main(replace(config, run_dir=tmp_path / "run", out=out))
    file = read_structure_clip(out, base)
    assert (file.kind, file.base) == ("structure-clip", "sg-mini")
    condition = StructureClipConditioner(base, build_knowledge(file), file.config["knowledge_weight"])
    graph = ShapesSplit("val", 1).graphs[0]
    assert condition.context([graph]).shape == (1, 77, 128)


def test_a_file_for_another_base_is_refused_in_words(base, tmp_path: Path):
    sizes = {"word_dim": 128, "dim": 128, "layers": 1, "heads": 2, "count": 8, "length": 4}
    state = {KNOWLEDGE + k: v for k, v in KnowledgeEncoder(**sizes).state_dict().items()}
    config = {"knowledge": sizes, "knowledge_weight": 1.0}
    path = tmp_path / "other.safetensors"
    write_adapter(path, Adapter("structure-clip", "sd21", "v_prediction", "structure-clip", config, "none", 1, state))
    with pytest.raises(AdapterError, match="trained on SD 2.1 768 .* the loaded model is SG-Mini"):
        read_structure_clip(path, base)
    with pytest.raises(AdapterError, match="train_structure_clip.py --base sg-mini"):
        read_structure_clip(tmp_path / "none.safetensors", base)


def test_a_missing_tower_of_sg_mini_says_what_to_run(tmp_path: Path):
    with pytest.raises(UsageError, match="run train/train_text_encoder.py first"):
        load_towers(Config(text_encoder=tmp_path / "none.safetensors"))


def test_it_trains_on_visual_genome(
    base, prepared_visual_genome: Callable[[Path, int], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    AcceleratorState._reset_state(True)
    monkeypatch.setattr(train_structure_clip, "load_towers", lambda config: base_towers(base, config.length))
    monkeypatch.setattr(train_structure_clip, "VALIDATION_PAIRS", 4)
    data = prepared_visual_genome(tmp_path / "vg", 4)
    out = tmp_path / "structure-clip.safetensors"
    config = Config(dataset="vg", data=data, steps=2, batch_size=4, warmup=0, pairs=4, layers=1, preview_every=2)
    main(replace(config, run_dir=tmp_path / "run", out=out))
    file = read_structure_clip(out, base)
    assert file.dataset == "vg" and file.config["knowledge"]["count"] == LEAST_TRIPLES
