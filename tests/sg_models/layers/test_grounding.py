"""Grounding tokens: roles, instances, boxes, padding."""

import math

import pytest
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from sg_models.layers.fourier import fourier_features
from sg_models.layers.gated_attention import TOKEN_EXTRAS
from sg_models.layers.grounding import BOX_FREQUENCIES, EVERYWHERE, GroundingTokens

GRAPH_DIM, PHRASE_DIM, TOKEN_DIM, COUNT = 6, 5, 8, 9


def module() -> GroundingTokens:
    torch.manual_seed(0)
    made = GroundingTokens(GRAPH_DIM, PHRASE_DIM, TOKEN_DIM, 16, COUNT)
    with torch.no_grad():
        made.null_box.normal_()
    return made


def graph(
    phrases: list[int], pairs: list[tuple[int, int]] = (), boxes: dict[int, list[float]] | None = None, instance=None
) -> Data:
    """Objects and relations whose phrase vectors are rows of a fixed table; relation k has row 10 + k."""
    table = torch.randn(20, PHRASE_DIM, generator=torch.Generator().manual_seed(3))
    boxes = boxes or {}
    return Data(
        x=table[phrases],
        edge_attr=table[[10 + k for k in range(len(pairs))]].reshape(-1, PHRASE_DIM),
        edge_index=torch.tensor(list(pairs), dtype=torch.long).reshape(-1, 2).t().contiguous(),
        box=torch.tensor([boxes.get(i, [0.0] * 4) for i in range(len(phrases))]),
        has_box=torch.tensor([i in boxes for i in range(len(phrases))]),
        instance=torch.arange(len(phrases)) if instance is None else torch.tensor(instance),
    )


def features(data: Data) -> tuple[Tensor, Tensor]:
    """Stand-ins for the graph encoder's: a function of the phrase alone, so that only this module tells apart."""
    return data.x @ torch.ones(PHRASE_DIM, GRAPH_DIM), data.edge_attr @ torch.ones(PHRASE_DIM, GRAPH_DIM)


@torch.no_grad()
def tokens(made: GroundingTokens, *graphs: Data) -> Tensor:
    batch = Batch.from_data_list(list(graphs))
    return made(*features(batch), batch.box, batch)


def test_objects_first_then_relations_then_padding():
    made = module()
    result = tokens(made, graph([0, 1, 2], [(0, 1)]))
    assert result.shape == (1, COUNT, TOKEN_DIM + TOKEN_EXTRAS)
    assert result[0, :, -1].tolist() == [1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert torch.equal(result[0, 4:, :-TOKEN_EXTRAS], made.null_token[4:])  # padding holds the nulls of its own places


def test_objects_are_seen_in_their_boxes_and_all_else_everywhere():
    made, boxes = module(), {0: [0.1, 0.2, 0.5, 0.9], 1: [0.5, 0.0, 1.0, 0.25]}
    places = tokens(made, graph([0, 1], [(0, 1)], boxes))[0, :, -TOKEN_EXTRAS:-1]
    torch.testing.assert_close(places[:2], torch.tensor(list(boxes.values())))
    assert (places[2:] == torch.tensor(EVERYWHERE)).all()
    assert (made.null_tokens(2)[..., -TOKEN_EXTRAS:-1] == torch.tensor(EVERYWHERE)).all()


def test_a_token_is_the_mix_of_its_features_plus_role_and_instance():
    made, places = module(), [[0.1, 0.2, 0.5, 0.9], [0.5, 0.0, 1.0, 0.25]]
    data = graph([0, 1], [(1, 0)], dict(enumerate(places)))
    objects, relations = features(data)
    with torch.no_grad():
        boxes = fourier_features(torch.tensor(places), BOX_FREQUENCIES)
        expected = [
            made.mix(torch.cat([objects[i], data.x[i], boxes[i]])) + made.role.weight[0] + made.instance.weight[i]
            for i in range(2)
        ]
        subject, object_ = made.as_subject(made.instance.weight[1]), made.as_object(made.instance.weight[0])
        mixed = made.mix(torch.cat([relations[0], data.edge_attr[0], made.null_box]))
        expected.append(mixed + made.role.weight[1] + subject + object_)
    torch.testing.assert_close(tokens(made, data)[0, :3, :-TOKEN_EXTRAS], torch.stack(expected), atol=1e-6, rtol=1e-5)


def test_a_left_of_b_differs_from_b_left_of_a():
    made = module()
    forwards, backwards = tokens(made, graph([0, 1], [(0, 1)])), tokens(made, graph([0, 1], [(1, 0)]))
    assert not torch.allclose(forwards[0, 2], backwards[0, 2], atol=1e-3)


def test_two_equal_objects_are_two_tokens():
    result = tokens(module(), graph([0, 0]))[0]
    assert not torch.allclose(result[0], result[1], atol=1e-3)


def test_equal_relations_of_two_equal_objects_differ():
    result = tokens(module(), graph([0, 0, 1], [(0, 2), (1, 2)]))
    data = graph([0, 0, 1], [(0, 2), (1, 2)])
    data.edge_attr[1] = data.edge_attr[0]
    result = tokens(module(), data)[0]
    assert not torch.allclose(result[3], result[4], atol=1e-3)


def test_objects_in_another_order_with_their_instances_are_the_same_tokens():
    made, boxes = module(), {0: [0.0, 0.0, 0.5, 0.5]}
    one = tokens(made, graph([3, 4, 5], [(0, 1), (2, 1)], boxes))[0]
    other = tokens(made, graph([5, 3, 4], [(1, 2), (0, 2)], {1: boxes[0]}, instance=[2, 0, 1]))[0]
    torch.testing.assert_close(other[[1, 2, 0, 3, 4]], one[:5], atol=1e-6, rtol=1e-5)


def test_a_batch_equals_one_by_one():
    made = module()
    graphs = [
        graph([0, 1], [(0, 1)], {1: [0.1, 0.1, 0.4, 0.4]}),
        graph([2]),
        graph([3, 4, 5, 6], [(3, 0), (1, 2), (0, 1), (2, 3), (1, 3)]),
    ]
    alone = torch.cat([tokens(made, g) for g in graphs])
    torch.testing.assert_close(tokens(made, *graphs), alone, atol=1e-6, rtol=1e-5)


def test_a_full_graph_leaves_no_padding():
    result = tokens(module(), graph([0, 1, 2, 3, 4], [(0, 1), (1, 2), (2, 3), (3, 4)]))
    assert result[0, :, -1].tolist() == [1.0] * COUNT


def test_the_box_changes_the_tokens_content():
    made = module()
    here, there = (
        tokens(made, graph([0], boxes={0: box}))[0, 0, :-TOKEN_EXTRAS]
        for box in ([0.0, 0.0, 0.5, 0.5], [0.5, 0.5, 1.0, 1.0])
    )
    assert not torch.allclose(here, there, atol=1e-3)


def test_the_null_box_is_learned_from_relations():
    made = module()
    batch = Batch.from_data_list([graph([0, 1], [(0, 1)], {0: [0.0, 0.0, 0.5, 0.5], 1: [0.5, 0.5, 1.0, 1.0]})])
    made(*features(batch), batch.box, batch)[..., 0].sum().backward()  # all channels sum to the same: they are normed
    assert made.null_box.grad is not None and made.null_box.grad.abs().max() > 1e-4


def test_null_tokens_are_learned_and_all_valid():
    made = module()
    result = made.null_tokens(3)
    assert result.shape == (3, COUNT, TOKEN_DIM + TOKEN_EXTRAS)
    assert torch.equal(result[2, :, :-TOKEN_EXTRAS], made.null_token)
    assert (result[..., -1] == 1).all()
    result.square().sum().backward()
    assert made.null_token.grad is not None and made.null_token.grad.abs().min() > 0


def test_null_tokens_differ_from_every_graphs():
    made = module()
    assert not torch.allclose(tokens(made, graph([0, 1], [(0, 1)]))[0, 0], made.null_tokens(1)[0, 0], atol=1e-3)


@pytest.mark.parametrize("frequencies", [1, 3, 8])
def test_fourier_features_are_sines_then_cosines_of_each_coordinate(frequencies: int):
    coordinates = torch.tensor([0.0, 0.25, 1.0])
    expected = []
    for c in coordinates.tolist():
        angles = [c * 100 ** (i / frequencies) for i in range(frequencies)]
        expected += [math.sin(a) for a in angles] + [math.cos(a) for a in angles]
    result = fourier_features(coordinates, frequencies)
    torch.testing.assert_close(result, torch.tensor(expected), atol=2e-5, rtol=1e-5)


def test_fourier_features_keep_the_leading_shape_and_the_dtype():
    result = fourier_features(torch.rand(2, 3, 4).half(), 5)
    assert result.shape == (2, 3, 40) and result.dtype == torch.float16
