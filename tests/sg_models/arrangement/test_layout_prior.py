"""The learned prior: an exact density, samples that keep what is given, and a file that holds all of it."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from sg_models.arrangement import prior_sampler
from sg_models.arrangement.layout_prior import LayoutPrior, make_prior, order_of, prior_batch
from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.arrangement.prior_file import PriorFile, read_prior_file, write_prior_file
from sg_models.arrangement.prior_mixture import LEAST_STD, Mixture, to_boxes, to_places
from sg_models.arrangement.prior_network import PriorNetwork
from sg_models.arrangement.prior_order import placing_order
from sg_models.arrangement.prior_sampler import draw, latin_hypercube
from sg_models.files.safetensors_file import WeightsFileError, read_weights, write_weights
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject

WORDS = "man hat dog tree on left of above red small".split()
SIZES = {"dim": 8, "hidden": 16, "heads": 2, "encoder_layers": 1, "layers": 2, "components": 3, "anchored": 2}
BOXES = ((0.1, 0.2, 0.5, 0.9), (0.2, 0.1, 0.4, 0.3), (0.6, 0.5, 0.9, 0.8))


@pytest.fixture
def vectors() -> PhraseVectors:
    rows = np.random.default_rng(0).integers(-127, 128, (len(WORDS), 12)).astype(np.int8)
    return PhraseVectors(WORDS, rows, np.ones(len(WORDS), np.float16))


@pytest.fixture
def prior(vectors: PhraseVectors) -> LayoutPrior:
    torch.manual_seed(0)
    network = PriorNetwork(12, **SIZES)
    with torch.no_grad():  # a head at its start hardly sees what comes in
        for parameter in network.head.parameters():
            parameter.mul_(4)
    return LayoutPrior(vectors, network)


def graph_of(*given: int, predicate: str = "on") -> SceneGraph:
    """A hat on a man, and a dog; the boxes of some."""
    things = [SceneObject(n, box=b if i in given else None) for i, (n, b) in enumerate(zip(NAMES, BOXES, strict=True))]
    return SceneGraph(tuple(things), (Relation(1, predicate, 0),))


NAMES = ("man", "hat", "dog")


def test_a_mixtures_density_is_that_of_its_formula():
    means, stds = torch.randn(3, 4), torch.rand(3, 4) + 0.1
    mixture = Mixture(torch.tensor([0, 1, 0]), torch.tensor([0.3, 7.0, -1.0]), means, stds, 2)
    places = torch.randn(2, 4)
    weights = torch.tensor([0.3, -1.0]).softmax(0)
    each = torch.distributions.Normal(means, stds).log_prob(places[torch.tensor([0, 1, 0])]).sum(1)
    expected = [math.log(weights[0] * each[0].exp() + weights[1] * each[2].exp()), each[1].item()]
    torch.testing.assert_close(mixture.log_prob(places), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_samples_of_a_mixture_come_from_its_modes_as_often_as_it_says():
    uniforms = np.random.default_rng(0).random((4000, 5))
    logits, means, stds = np.array([[1.0, 0.0]]), np.array([[[5.0] * 4, [0.0] * 4]]), np.array([[[0.2] * 4, [0.1] * 4]])
    mixtures = [np.repeat(part, len(uniforms), axis=0) for part in (logits, means, stds)]
    places, spread = draw(*mixtures, uniforms, 1.0)
    high = places[:, 0] > 2.5
    assert high.mean() == pytest.approx(1 / (1 + math.exp(-1)), abs=0.03)
    assert places[high].std() == pytest.approx(0.2, abs=0.01) and places[~high].std() == pytest.approx(0.1, abs=0.01)
    assert (spread[high] == 0.2).all() and (spread[~high] == 0.1).all()
    cold, _ = draw(*mixtures, uniforms, 0.25)
    assert (cold[:, 0] > 2.5).mean() > 0.95 and cold[cold[:, 0] > 2.5].std() < 0.06


def test_eight_seeds_in_a_row_share_out_what_may_be_drawn():
    drawn = np.stack([latin_hypercube(seed, (3, 2, 5)) for seed in range(16, 24)])
    np.testing.assert_array_equal(
        np.sort(np.floor(drawn * 8), axis=0).reshape(8, -1), np.tile(np.arange(8)[:, None], 30)
    )
    assert len({tuple(column) for column in np.floor(drawn * 8).reshape(8, -1).T}) == 30, "all in one order"
    alone = np.stack([latin_hypercube(8 * row + 3, (1, 4, 5)) for row in range(500)])
    assert alone.mean() == pytest.approx(0.5, abs=0.01) and alone.std() == pytest.approx(12**-0.5, abs=0.01)
    assert 0 < drawn.min() and drawn.max() < 1


def test_places_and_boxes_are_each_others_inverse_inside_the_picture():
    boxes = torch.tensor(BOXES)
    torch.testing.assert_close(to_boxes(to_places(boxes), 0.02), boxes)
    moved = to_boxes(torch.tensor([[1.2, -0.3, math.log(0.2), math.log(3.0)]]), 0.02)
    torch.testing.assert_close(moved, torch.tensor([[0.8, 0.0, 1.0, 1.0]]))


def test_the_same_seed_gives_the_same_boxes_and_another_others(prior: LayoutPrior):
    found = [prior.samples(graph_of(), seed, 1.0, 1)[0].boxes for seed in (3, 3, 4)]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.allclose(found[0], found[2], atol=0.01)


def test_boxes_lie_in_the_picture_and_given_ones_stay(prior: LayoutPrior):
    for proposal in prior.samples(graph_of(0, 2), 0, 1.6, 5):
        boxes = proposal.boxes
        assert (boxes >= 0).all() and (boxes <= 1 + 1e-6).all() and (boxes[:, 2:] > boxes[:, :2]).all()
        assert tuple(boxes[0]) == BOXES[0] and tuple(boxes[2]) == BOXES[2]
        assert (proposal.spread >= LEAST_STD - 1e-6).all()


def test_several_samples_at_once_differ(prior: LayoutPrior):
    found = [proposal.boxes for proposal in prior.samples(graph_of(), 0, 1.0, 4)]
    assert len(found) == 4 and not any(np.array_equal(found[0], other) for other in found[1:])


def test_what_is_given_attributes_predicates_and_aspect_all_matter(prior: LayoutPrior):
    def mean(graph: SceneGraph, aspect: float = 1.0) -> np.ndarray:
        return np.stack([p.boxes[1] for p in prior.samples(graph, 0, aspect, 64)])

    plain, other = graph_of(), graph_of(0)
    assert not np.allclose(mean(plain), mean(other))
    red = replace(plain, objects=(plain.objects[0], replace(plain.objects[1], attributes=("small",)), plain.objects[2]))
    for changed in (red, graph_of(predicate="left of")):
        assert not np.allclose(mean(plain), mean(changed))
    assert not np.allclose(mean(plain), mean(plain, 2.0))


def test_an_object_does_not_see_the_boxes_of_those_after_it(prior: LayoutPrior):
    graph = graph_of(0, 1, 2)
    batch = prior_batch([graph], prior.vectors, np.random.default_rng(0), 1.0, first_given=False)
    before = prior.network(batch).log_prob(to_places(batch.boxes))
    last = int(batch.rank.argmax())
    boxes = batch.boxes.clone()
    boxes[last] = torch.tensor([0.0, 0.0, 0.1, 0.1])
    after = prior.network(replace(batch, boxes=boxes)).log_prob(to_places(batch.boxes))
    torch.testing.assert_close(before, after)
    boxes[int(batch.rank.argmin())] = torch.tensor([0.0, 0.0, 0.1, 0.1])
    after = prior.network(replace(batch, boxes=boxes)).log_prob(to_places(batch.boxes))
    assert (before - after).abs().max() > 1e-4


def test_a_graph_has_the_density_that_it_has_alone(prior: LayoutPrior):
    graphs = [graph_of(0, 1, 2), replace(graph_of(0, 1, 2), relations=())]
    together = prior.log_density([graphs[0], graphs[0]], np.random.default_rng(0))
    assert len(together) == 6
    rng = np.random.default_rng(0)
    apart = [prior.log_density([graph], rng) for graph in (graphs[0], graphs[0])]
    torch.testing.assert_close(together, torch.cat(apart), rtol=1e-4, atol=1e-4)


def test_samples_are_drawn_from_the_networks_own_mixtures(prior: LayoutPrior, monkeypatch: pytest.MonkeyPatch):
    """Step by step in NumPy as in one pass of the network over the boxes that came out."""
    seen = []
    monkeypatch.setattr(prior_sampler, "draw", lambda *mixture: seen.append(mixture[:3]) or draw(*mixture))
    graph = replace(graph_of(0), relations=(Relation(1, "on", 0), Relation(0, "left of", 2), Relation(2, "above", 1)))
    proposals = prior.samples(graph, 5, 1.5, 3)
    batch = prior_batch([graph], prior.vectors, np.random.default_rng(5), 1.5)
    assert len(seen) == 2 and batch.rank[0] == 0
    for copy, proposal in enumerate(proposals):
        with torch.no_grad():
            expected = prior.network(replace(batch, boxes=torch.from_numpy(proposal.boxes).float()))
        for (logits, means, stds), thing in zip(seen, batch.rank.argsort()[1:], strict=True):
            own = expected.owner == thing
            np.testing.assert_allclose(logits[copy], expected.logits[own], atol=1e-4)
            np.testing.assert_allclose(means[copy], expected.means[own], atol=1e-4)
            np.testing.assert_allclose(stds[copy], expected.stds[own], atol=1e-4)
            assert np.abs(stds[copy] - proposal.spread[thing]).sum(axis=1).min() < 1e-6


def test_given_objects_come_first_then_what_is_related_to_them():
    ends = np.array([[0, 1], [1, 2], [3, 4]])
    given = np.array([False, False, True, False, False])
    rank = placing_order(5, ends, np.random.default_rng(0), given)
    assert rank[2] == 0 and rank[1] == 1 and rank[0] == 2


def test_in_large_graphs_all_look_at_the_first_alone(prior: LayoutPrior):
    graph = SceneGraph(tuple(SceneObject("man") for _ in range(256)), (Relation(0, "on", 255),))
    rank, shown = order_of(graph, np.random.default_rng(0), True)
    assert sorted(rank) == list(range(1, 257)) and shown.sum() == 24 and (rank[shown] <= 24).all()
    boxes = prior.samples(graph, 0, 1.0, 1)[0].boxes
    assert boxes.shape == (256, 4) and np.isfinite(boxes).all()


def test_a_single_unknown_word_gets_a_box(prior: LayoutPrior):
    boxes = prior.samples(SceneGraph((SceneObject("xyzzy"),)), 0, 1.0, 1)[0].boxes
    assert boxes.shape == (1, 4) and np.isfinite(boxes).all()


def test_a_prior_of_a_file_is_the_one_that_was_written(prior: LayoutPrior, tmp_path: Path):
    path = tmp_path / "p.safetensors"
    file = PriorFile(prior.vectors, prior.network.state_dict(), {"phrase_dim": 12} | SIZES, "layouts", 7, "VG", 0.5)
    write_prior_file(path, file)
    again = make_prior(read_prior_file(path))
    assert again.temperature == 0.5 and read_prior_file(path).steps == 7 and read_prior_file(path).attribution == "VG"
    density = [p.log_density([graph_of(0, 1, 2)], np.random.default_rng(0)) for p in (prior, again)]
    torch.testing.assert_close(*density)


def test_files_that_are_none_or_do_not_fit_are_refused(prior: LayoutPrior, tmp_path: Path):
    path = tmp_path / "p.safetensors"
    write_weights(path, {"a": torch.zeros(1)}, {"scene_graph.kind": "gsa"})
    with pytest.raises(WeightsFileError, match="no prior of arrangements"):
        read_prior_file(path)
    sizes = {"phrase_dim": 12} | SIZES
    write_prior_file(path, PriorFile(prior.vectors, prior.network.state_dict(), sizes | {"dim": 16}, "layouts", 7))
    with pytest.raises(WeightsFileError, match="does not hold what its header says"):
        read_prior_file(path).network()
    tensors, metadata = read_weights(path)
    write_weights(path, {k: v for k, v in tensors.items() if "phrases" not in k}, metadata)
    with pytest.raises(WeightsFileError, match="lacks a part"):
        read_prior_file(path)
