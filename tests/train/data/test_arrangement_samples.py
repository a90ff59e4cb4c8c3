"""What the learned prior is trained on: varied graphs stay true to their boxes."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from sg_models.graph.spatial_relations import spatial_relation
from sg_models.graph.spatial_wordings import spatial_meaning
from train.data.arrangement_samples import ArrangementSamples, Example, cropped, example_of, part, whole_graphs

WORDS = sorted({*"man dog on left right of to the above below under inside over large small tall wide red big".split()})


@pytest.fixture
def samples() -> ArrangementSamples:
    rows = np.random.default_rng(0).integers(-127, 128, (len(WORDS), 8)).astype(np.int8)
    return ArrangementSamples(graphs(60), PhraseVectors(WORDS, rows, np.ones(len(WORDS), np.float16)), seed=0)


def graphs(count: int) -> list[SceneGraph]:
    rng, found = np.random.default_rng(1), []
    for _ in range(count):
        corners = np.sort(rng.random((4, 2, 2)), axis=1)  # [N, start and end, x and y]
        boxes = np.concatenate([corners[:, 0], corners[:, 1] + 1e-3], axis=1).clip(0, 1)
        things = (SceneObject(("man", "dog")[i % 2], box=tuple(box.tolist())) for i, box in enumerate(boxes))
        found.append(SceneGraph(tuple(things), (Relation(0, "on", 1), Relation(2, "left of", 3))))
    return found


def test_directions_that_are_added_are_true(samples: ArrangementSamples):
    words = {place: phrase for phrase, place in samples.phrases.places.items()}
    rng, said = np.random.default_rng(0), set()
    for example in samples.examples:
        bare = replace(example, relations=example.relations[:0])
        for subject, predicate, object_ in samples.with_directions(bare, rng).relations.tolist():
            boxes = [tuple(example.boxes[i].tolist()) for i in (subject, object_)]
            assert spatial_meaning(words[predicate]) == spatial_relation(boxes[0], boxes[1])
            said.add(words[predicate])
    assert len(said) > 20


def test_words_of_size_are_true(samples: ArrangementSamples):
    words = {place: phrase for phrase, place in samples.phrases.places.items()}
    rng, areas = np.random.default_rng(0), {"large": [], "small": []}
    for example in samples.examples:
        varied = samples.with_words(example, rng)
        for box, attributes in zip(example.boxes, varied.attributes, strict=True):
            for word in {words[place] for place in attributes} & areas.keys():
                areas[word].append(float((box[2:] - box[:2]).prod()))
    assert min(map(len, areas.values())) > 3 and min(areas["large"]) > max(areas["small"])


def test_a_crop_shows_a_part_of_the_picture_at_its_own_scale():
    example = Example(
        np.array([1, 2]),
        np.array([[0.0, 0.0, 0.05, 1.0], [0.4, 0.2, 0.6, 0.8]], np.float32),
        np.array([[0, 3, 1]]),
        ((), ()),
    )
    shapes = set()
    for seed in range(40):
        found = cropped(example, np.random.default_rng(seed))
        assert (found.boxes >= 0).all() and (found.boxes <= 1).all() and len(found.boxes) == len(found.names)
        place = found.names.tolist().index(2)
        sides = found.boxes[place, 2:] - found.boxes[place, :2]
        aspect = np.exp(found.log_aspect)
        if 0.01 < found.boxes[place].min() and found.boxes[place].max() < 0.99:  # whole
            assert sides[1] / (sides[0] * aspect) == pytest.approx(3, rel=1e-4)
        assert len(found.relations) == (len(found.names) == 2)
        shapes.add((aspect > 1, len(found.names)))
    assert {(True, 2), (False, 2), (False, 1)} <= shapes


def test_a_part_of_an_example_keeps_the_relations_inside_it(samples: ArrangementSamples):
    found = part(samples.examples[0], np.array([3, 2]))
    assert found.relations[:, [0, 2]].tolist() == [[0, 1]] and len(found.attributes) == 2
    np.testing.assert_array_equal(found.boxes, samples.examples[0].boxes[2:])


def test_names_can_be_left_out_with_their_relations():
    found = whole_graphs(graphs(3), 24, frozenset({"dog"}))
    assert all(thing.name == "man" for graph in found for thing in graph.objects) and len(found) == 3
    assert all(len(graph.objects) == 2 and not graph.relations for graph in found)
    assert not whole_graphs(graphs(3), 3, frozenset())
    bare = SceneGraph((SceneObject("man"), SceneObject("dog", box=(0, 0, 1, 1))), (Relation(0, "on", 1),))
    assert [thing.name for thing in whole_graphs([bare], 24, frozenset())[0].objects] == ["dog"]


def test_batches_are_the_same_for_the_same_indices_and_ranks_are_orders(samples: ArrangementSamples):
    one, again, other = samples(range(8)), samples(range(8)), samples(range(8, 16))
    assert torch.equal(one.boxes, again.boxes) and torch.equal(one.rank, again.rank)
    assert one.boxes.shape != other.boxes.shape or not torch.equal(one.boxes, other.boxes)
    for graph in range(8):
        ranks = one.rank[one.graph_of == graph].sort().values
        assert torch.equal(ranks, torch.arange(len(ranks)))
    assert (one.graph_of[one.edges[0]] == one.graph_of[one.edges[1]]).all()


def test_an_example_says_what_its_graph_says(samples: ArrangementSamples):
    graph = graphs(1)[0]
    example = example_of(graph, samples.phrases)
    words = {place: phrase for phrase, place in samples.phrases.places.items()}
    assert [words[name] for name in example.names] == ["man", "dog", "man", "dog"]
    assert [(s, words[p], o) for s, p, o in example.relations.tolist()] == [(0, "on", 1), (2, "left of", 3)]
