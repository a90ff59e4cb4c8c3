"""Samples with features of their pictures: the right picture's, once encoded, whichever graphs stand beside it."""

import numpy as np
import torch

from train.data.graph_samples import GraphSamples, no_features
from train.data.pictured_samples import PicturedSamples, RememberedPictures
from train.data.shapes.shapes_dataset import ShapesSplit

COUNT, SIDE = 6, 32


class Mean:
    """A picture's mean colour in the place of a tower."""

    dim = 3

    def __init__(self) -> None:
        self.seen = 0

    def __call__(self, pictures: np.ndarray) -> torch.Tensor:
        self.seen += len(pictures)
        return torch.from_numpy(pictures.astype(np.float32)).mean(dim=(1, 2))


def test_each_picture_is_encoded_once_and_goes_with_its_graph():
    split, tower = ShapesSplit("val", COUNT), Mean()
    plain = GraphSamples(split, torch.zeros(COUNT, 0), no_features)
    samples = PicturedSamples(plain, RememberedPictures(split, SIDE, tower))
    expected = Mean()(split.pictures(range(COUNT), SIDE))
    batch = samples(range(COUNT)).to("cpu")
    assert [g.objects[0].name for g in batch.graphs] == [g.objects[0].name for g in plain(range(COUNT)).graphs]
    torch.testing.assert_close(batch.features, expected[[plain.order[index] for index in range(COUNT)]])
    assert torch.equal(samples(range(COUNT)).features, batch.features) and tower.seen == COUNT


def test_another_pictures_graph_stands_beside_the_own_features():
    split = ShapesSplit("val", COUNT)
    plain = GraphSamples(split, torch.zeros(COUNT, 0), no_features)
    samples = PicturedSamples(plain, RememberedPictures(split, SIDE, Mean()))
    right, shuffled = samples.whole(), samples.whole(shift=1, null=True)
    assert torch.equal(right.features, shuffled.features)
    assert shuffled.graphs[0] == right.graphs[1] and shuffled.is_null.all()
