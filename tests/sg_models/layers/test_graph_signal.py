"""Where a graph's vector goes among the states of a text, place by place, and what stands for no graph."""

import pytest
import torch

from sg_models.layers.graph_signal import APPEND, FUSE, INTERLEAVE, MODES, REPLACE, GraphSignal, put_in, sources

LENGTH, DIM, VECTOR = 8, 4, 5
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
    torch.manual_seed(0)
    return GraphSignal(VECTOR, DIM, request.param)


def test_no_graph_is_not_the_graph(signal: GraphSignal):
    states, ends, vectors = torch.randn(1, LENGTH, DIM), torch.tensor([2]), torch.randn(1, VECTOR)
    without = signal.without_graph(states, ends)
    assert not torch.allclose(signal(states, ends, vectors), without)
    assert torch.equal(signal(states, ends, vectors, torch.tensor([True])), without)
    assert torch.equal(signal(states, ends, 2 * vectors, torch.tensor([True])), without), "the graph is still in it"
    without.sum().backward()
    assert signal.null_graph.grad is not None and signal.null_graph.grad.any(), "no graph cannot be learned"


def test_the_way_into_the_context_is_learned(signal: GraphSignal):
    states, ends = torch.randn(2, LENGTH, DIM), torch.tensor([2, 4])
    signal(states, ends, torch.randn(2, VECTOR)).square().sum().backward()
    assert signal.project.weight.grad is not None and signal.project.weight.grad.any()


def test_a_graph_says_the_same_behind_all_words_but_where_each_asks_for_its_own():
    states, ends, vectors = torch.randn(1, LENGTH, DIM), torch.tensor([3]), torch.randn(1, VECTOR)
    for mode in (INTERLEAVE, FUSE):
        torch.manual_seed(0)
        first, second = GraphSignal(VECTOR, DIM, mode)(states, ends, vectors)[0, 1:4:2]
        assert torch.allclose(first, second) == (mode == INTERLEAVE)


def test_an_unknown_mode_is_refused_in_words():
    with pytest.raises(ValueError, match="no mode is called 'sideways'; write interleave, append, replace or fuse"):
        GraphSignal(VECTOR, DIM, "sideways")
