"""Hard negatives: the same words, another meaning."""

from collections import Counter

import numpy as np
import pytest

from sg_models.graph.caption import caption
from sg_models.graph.formats import parse_scene_graph
from sg_models.graph.hard_negatives import hard_negative, same_meaning, trades


def words(text: str) -> Counter:
    return Counter(text.replace(",", "").replace(" an ", " a ").split())


def test_two_objects_trade_places_in_a_relation():
    graph = parse_scene_graph("dog | on | motorcycle")
    negative = hard_negative(graph, np.random.default_rng(0))
    assert negative is not None and caption(negative) == "a motorcycle on a dog"


def test_two_objects_trade_an_attribute():
    graph = parse_scene_graph("large green bus\nlarge red car")
    negatives = {caption(n) for n in trades(graph) if not same_meaning(graph, n)}
    assert negatives == {"a large red bus, a large green car"}


@pytest.mark.parametrize(
    "text",
    [
        "dog",
        "black cow\nblack cow#2",
        "black cow\nwhite cow",  # it is all the same which one is white
        "black cow | beside | black cow#2",
        "dog | next to | cat",  # as much as the cat is next to the dog
        "dog | Near | cat\ncat | near | bird",
    ],
)
def test_a_trade_that_changes_nothing_is_none(text: str):
    assert hard_negative(parse_scene_graph(text), np.random.default_rng(0)) is None


def test_two_relations_trade_their_predicates():
    graph = parse_scene_graph("man | riding | horse\ndog | chasing | cat")
    negatives = {caption(n) for n in trades(graph) if not same_meaning(graph, n)}
    assert "a man chasing a horse, a dog riding a cat" in negatives
    assert negatives == {
        "a man chasing a horse, a dog riding a cat",
        "a horse riding a man, a dog chasing a cat",
        "a man riding a horse, a cat chasing a dog",
    }


def test_equal_predicates_and_attributes_are_no_trade():
    assert len(list(trades(parse_scene_graph("red man | on | horse\nred dog | on | sofa")))) == 2


def test_cows_that_stand_somewhere_do_differ():
    graph = parse_scene_graph("black cow | left of | white cow")
    negative = hard_negative(graph, np.random.default_rng(0))
    assert negative is not None and not same_meaning(graph, negative)


def test_parallel_relations_count_each():
    two = parse_scene_graph("dog | on | sofa\ndog | near | sofa")
    one = parse_scene_graph("dog | on | sofa\ndog | on | sofa")
    assert not same_meaning(two, one)


def test_the_sentence_keeps_its_words_and_the_graph_its_form():
    graph = parse_scene_graph("small red circle | left of | large blue square\nlarge blue square | above | small star")
    seen = set()
    for seed in range(60):
        negative = hard_negative(graph, np.random.default_rng(seed))
        assert negative is not None
        seen.add(caption(negative))
        assert words(" ".join(o.phrase for o in negative.objects)) == words(" ".join(o.phrase for o in graph.objects))
        assert sorted(r.predicate for r in negative.relations) == sorted(r.predicate for r in graph.relations)
        assert [o.name for o in negative.objects] == [o.name for o in graph.objects]
    assert len(seen) >= 4  # turned relations and exchanged sizes and colours


def test_the_same_random_numbers_give_the_same_negative():
    graph = parse_scene_graph("small red circle | left of | large blue square")
    a, b = (hard_negative(graph, np.random.default_rng(7)) for _ in range(2))
    assert a == b
