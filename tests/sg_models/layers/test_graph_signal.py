"""Where a graph's vector goes among the states of a text, place by place, and what stands for no graph."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from sg_models.layers.graph_signal import (
    APPEND,
    FUSE,
    INTERLEAVE,
    MODES,
    REPLACE,
    EncodedGraphs,
    GraphSignal,
    put_in,
    sources,
)

LENGTH, DIM, VECTOR, OBJECT = 8, 4, 5, 6
OTHER = torch.arange(1.0, 1 + OBJECT)  # which no norm takes away
G = LENGTH  # where the graph's words begin in `sources`


@pytest.mark.parametrize(
    ("mode", "end", "expected"),
    [
        (INTERLEAVE, 1, [0, G, 1, 2, 3, 4, 5, 6]),  # an empty text: its first token and its end
        (INTERLEAVE, 3, [0, G, 1, G + 1, 2, G + 2, 3, 4]),
        (FUSE, 3, [0, G, 1, G + 1, 2, G + 2, 3, 4]),
        (INTERLEAVE, 5, [0, G, 1, G + 1, 2, 3, 4, 5]),  # the words and their end fill what the first two leave
        (INTERLEAVE, 7, [0, G, 1, 2, 3, 4, 5, 6]),  # a full text has the graph once, all the same
        (APPEND, 1, [0, 1, G, 2, 3, 4, 5, 6]),
        (APPEND, 5, [0, 1, 2, 3, 4, 5, G, 6]),
        (APPEND, 7, [0, 1, 2, 3, 4, 5, 6, G]),
        (REPLACE, 1, [G] * 8),
        (REPLACE, 7, [G] * 8),
    ],
)
def test_every_place_of_a_context(mode: str, end: int, expected: list[int]):
    assert sources(end, LENGTH, mode) == expected


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("end", range(1, 77))
def test_a_context_keeps_its_length_and_the_graph_is_in_it(mode: str, end: int):
    places = sources(end, 77, mode)
    assert len(places) == 77 and 77 in places and max(places) < 2 * 77
    words = [place for place in places if place < 77]
    assert words == list(range(len(words))), "states lost their order"
    if mode != REPLACE and end <= 75:
        assert end in words, "the end-of-text state is lost"


def test_each_text_of_a_batch_has_its_own_graph_in_its_own_places():
    states, words = torch.randn(2, LENGTH, DIM), torch.randn(2, LENGTH, DIM)
    context = put_in(states, torch.tensor([1, 3]), words, INTERLEAVE)
    s, g = states[0], words[0]
    torch.testing.assert_close(context[0], torch.stack([s[0], g[0], s[1], s[2], s[3], s[4], s[5], s[6]]))
    s, g = states[1], words[1]
    torch.testing.assert_close(context[1], torch.stack([s[0], g[0], s[1], g[1], s[2], g[2], s[3], s[4]]))


@pytest.fixture(params=MODES)
def signal(request: pytest.FixtureRequest) -> GraphSignal:
    return graph_signal(request.param)


def graph_signal(mode: str) -> GraphSignal:
    torch.manual_seed(0)
    signal = GraphSignal(VECTOR, OBJECT, DIM, mode)
    if mode == FUSE:
        nn.init.normal_(signal.project.out.weight)  # as after training: it begins with zeros
    return signal


def graphs(*counts: int) -> EncodedGraphs:
    """Graphs of so many objects."""
    there = torch.arange(max(counts))[None] < torch.tensor(counts)[:, None]
    return EncodedGraphs(torch.randn(len(counts), VECTOR), torch.randn(*there.shape, OBJECT), there)


def test_no_graph_is_not_the_graph(signal: GraphSignal):
    states, ends, encoded = torch.randn(1, LENGTH, DIM), torch.tensor([2]), graphs(2)
    without = signal.without_graph(states, ends)
    assert not torch.allclose(signal(states, ends, encoded), without)
    for other in (encoded, graphs(3)):
        assert torch.equal(signal(states, ends, other, torch.tensor([True])), without), "the graph is still in it"
    without.sum().backward()
    assert signal.null_graph.grad is not None and signal.null_graph.grad.any(), "no graph cannot be learned"


def test_no_graph_is_its_own_vector_or_with_fuse_the_word_and_that_vector(signal: GraphSignal):
    states = torch.randn(1, LENGTH, DIM)
    behind = signal.no_words(states)
    assert torch.equal(behind, (states if signal.mode == FUSE else 0) + signal.null_graph.expand_as(states))


def test_the_way_into_the_context_is_learned(signal: GraphSignal):
    states, ends = torch.randn(2, LENGTH, DIM), torch.tensor([2, 4])
    signal(states, ends, graphs(2, 3)).square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for name, p in signal.named_parameters() if "project" in name)


def test_a_graph_says_the_same_behind_all_words_but_where_each_asks_for_its_own():
    states, ends = torch.randn(1, LENGTH, DIM), torch.tensor([3])
    one, other = graphs(2), graphs(2)
    first, second = graph_signal(INTERLEAVE)(states, ends, one)[0, 1:4:2]
    assert torch.equal(first, second)
    fuse = graph_signal(FUSE)
    first, second = (fuse(states, ends, one) - fuse(states, ends, other))[0, 1:4:2]
    assert first.any() and not torch.allclose(first, second)


@pytest.mark.parametrize("what", ["vectors", "objects"])
def test_a_word_asks_the_vector_and_the_objects_that_are_there(what: str):
    states, ends, fuse, encoded = torch.randn(1, LENGTH, DIM), torch.tensor([3]), graph_signal(FUSE), graphs(2)
    before = getattr(encoded, what)
    other = replace(encoded, **{what: before + OTHER[: before.shape[-1]]})
    assert not torch.allclose(fuse(states, ends, other), fuse(states, ends, encoded))


def test_padding_is_not_asked():
    states, ends, fuse, encoded = torch.randn(2, LENGTH, DIM), torch.tensor([3, 3]), graph_signal(FUSE), graphs(2, 3)
    padded = encoded.objects.clone()
    padded[0, 2] += OTHER
    torch.testing.assert_close(fuse(states, ends, replace(encoded, objects=padded)), fuse(states, ends, encoded))


def test_untrained_each_word_that_asks_is_said_again():
    states = torch.randn(1, LENGTH, DIM)
    context = GraphSignal(VECTOR, OBJECT, DIM, FUSE)(states, torch.tensor([3]), graphs(2))
    assert torch.equal(context[0], states[0, [0, 0, 1, 1, 2, 2, 3, 4]])


def test_an_unknown_mode_is_refused_in_words():
    with pytest.raises(ValueError, match="no mode is called 'sideways'; write interleave, append, replace or fuse"):
        GraphSignal(VECTOR, OBJECT, DIM, "sideways")
