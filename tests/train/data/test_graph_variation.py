"""Parts of a large graph that one sentence can say."""

import numpy as np

from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.scene_graph import Relation, SceneGraph, SceneObject
from train.data.graph_variation import caption_part


def large() -> SceneGraph:
    things = tuple(SceneObject(f"thing {i}", (f"kind {i}", "old")) for i in range(20))
    return SceneGraph(things, tuple(Relation(i, f"before {i}", i + 1) for i in range(19)))


def test_a_small_graph_is_said_as_it_is():
    graph = parse_scene_graph("small red circle | left of | large blue square\nlarge blue square | above | star")
    assert caption_part(graph, 6, 24, np.random.default_rng(0)) is graph


def test_a_large_graph_gives_a_part_whose_relations_join_what_they_joined():
    graph = large()
    for seed in range(30):
        part = caption_part(graph, 6, 24, np.random.default_rng(seed))
        assert 1 <= len(part.relations) <= 6
        assert len(part.relations) + sum(len(thing.attributes) for thing in part.objects) <= 24
        for relation in part.relations:
            number = int(relation.predicate.split()[1])
            assert part.objects[relation.subject] == graph.objects[number]
            assert part.objects[relation.object] == graph.objects[number + 1]
        joined = {end for relation in part.relations for end in (relation.subject, relation.object)}
        assert joined == set(range(len(part.objects)))


def test_parts_differ_and_together_say_all():
    parts = [caption_part(large(), 6, 24, np.random.default_rng(seed)) for seed in range(60)]
    assert {r.predicate for part in parts for r in part.relations} == {r.predicate for r in large().relations}


def test_without_relations_some_objects_stay():
    part = caption_part(SceneGraph(large().objects), 6, 24, np.random.default_rng(0))
    assert len(part.objects) == 6 and not part.relations


def test_attributes_beyond_what_there_is_room_for_are_left_out():
    graph = SceneGraph((SceneObject("dog", tuple(f"trait {i}" for i in range(20))), SceneObject("cat", ("old",) * 1)))
    part = caption_part(SceneGraph(graph.objects, (Relation(0, "near", 1),)), 6, 8, np.random.default_rng(0))
    assert sum(len(thing.attributes) for thing in part.objects) + len(part.relations) <= 8
