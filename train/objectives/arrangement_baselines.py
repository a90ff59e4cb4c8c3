"""What the learned prior of arrangements is held against: boxes by name alone, and by a regression from the graph.

Each says where it would put every object and how sure it is: a Gaussian over (centre x, centre y, log width, log
height), fitted to true boxes with the same least deviation as the learned prior's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sg_models.arrangement.layout_prior import prior_batch
from sg_models.arrangement.phrase_vectors import PhraseVectors
from sg_models.arrangement.prior import Proposal
from sg_models.arrangement.prior_mixture import LEAST_SIDE, LEAST_STD, to_boxes, to_places
from sg_models.graph.scene_graph import SceneGraph
from train.objectives.box_regression import BoxRegression

LEAST_SEEN = 10  # boxes of a name, for a Gaussian of its own
ANY = ""  # stands for every name that is too rare for that


@dataclass(frozen=True)
class Gaussian:
    """Of one object's place: mean and standard deviations, [4] each."""

    mean: np.ndarray
    std: np.ndarray


class Baseline:
    """Gaussians for the objects of a graph, and what follows from them."""

    def gaussians(self, graph: SceneGraph) -> tuple[np.ndarray, np.ndarray]:
        """Means and standard deviations of (centre x, centre y, log width, log height): [O, 4] each."""
        raise NotImplementedError

    def log_density(self, graph: SceneGraph) -> np.ndarray:
        """Of each object's true box, in nats: [O]."""
        mean, std = self.gaussians(graph)
        z = (places_of(graph) - mean) / std
        return -0.5 * (z**2 + np.log(2 * np.pi)).sum(1) - np.log(std).sum(1)

    def boxes(self, graph: SceneGraph) -> np.ndarray:
        """The box that is likeliest for each object: [O, 4]."""
        return in_picture(self.gaussians(graph)[0])

    def drawn(self, graph: SceneGraph, rng: np.random.Generator, temperature: float) -> np.ndarray:
        """Boxes [O, 4] drawn from the Gaussians, the deviations times a temperature."""
        mean, std = self.gaussians(graph)
        return in_picture(mean + temperature * std * rng.normal(size=mean.shape))


class NameBoxes(Baseline):
    """(a) The mean box of an object's name, over all training pictures; of any name, where it is rare.

    With `by_name` False always the mean of all boxes: what is known of a name that was never seen.
    """

    def __init__(self, graphs: Sequence[SceneGraph], by_name: bool = True) -> None:
        rows: dict[str, list[np.ndarray]] = {ANY: []}
        for graph in graphs:
            for thing, place in zip(graph.objects, places_of(graph), strict=True):
                rows[ANY].append(place)
                if by_name:
                    rows.setdefault(thing.name, []).append(place)
        self.known = {name: fitted(np.stack(found)) for name, found in rows.items() if len(found) >= LEAST_SEEN}

    def of(self, name: str) -> Gaussian:
        return self.known.get(name, self.known[ANY])

    def gaussians(self, graph: SceneGraph) -> tuple[np.ndarray, np.ndarray]:
        found = [self.of(thing.name) for thing in graph.objects]
        return np.stack([g.mean for g in found]), np.stack([g.std for g in found])


class NameSizes(NameBoxes):
    """(b) The mean size of an object's name, and nothing of where it is: a `Prior` for the solver."""

    def gaussians(self, graph: SceneGraph) -> tuple[np.ndarray, np.ndarray]:
        mean, std = super().gaussians(graph)
        anywhere = self.known[ANY]
        mean[:, :2], std[:, :2] = anywhere.mean[:2], anywhere.std[:2]
        return mean, std

    def samples(self, graph: SceneGraph, seed: int, aspect: float, count: int) -> list[Proposal]:
        """See `sg_models.arrangement.prior.Prior`: mean sizes, centres anywhere in the picture."""
        rng, (mean, std) = np.random.default_rng(seed), self.gaussians(graph)
        anywhere = [np.concatenate([rng.random((len(mean), 2)), mean[:, 2:]], axis=1) for _ in range(count)]
        return [Proposal(in_picture(places), std) for places in anywhere]


class Regression(Baseline):
    """(d) Boxes read off a graph's features, as in sg2im; `std` [4] is what was left over on validation graphs."""

    def __init__(self, model: BoxRegression, vectors: PhraseVectors, validation: Sequence[SceneGraph]) -> None:
        self.model, self.vectors, self.std = model.eval(), vectors, np.ones(4)
        missed = [places_of(graph) - self.gaussians(graph)[0] for graph in validation]
        self.std = np.maximum(np.sqrt((np.concatenate(missed) ** 2).mean(0)), LEAST_STD)

    @torch.no_grad()
    def gaussians(self, graph: SceneGraph) -> tuple[np.ndarray, np.ndarray]:
        batch = prior_batch([graph], self.vectors, np.random.default_rng(0), 1.0)
        mean = to_places(self.model(batch)).numpy().astype(float)
        return mean, np.tile(self.std, (len(mean), 1))


def fitted(places: np.ndarray) -> Gaussian:
    """The Gaussian of places [N, 4]."""
    return Gaussian(places.mean(0), np.maximum(places.std(0), LEAST_STD))


def places_of(graph: SceneGraph) -> np.ndarray:
    """Centre x, centre y, log width, log height of a graph's boxes: [O, 4]."""
    return to_places(torch.tensor([thing.box for thing in graph.objects], dtype=torch.float64)).numpy()


def in_picture(places: np.ndarray) -> np.ndarray:
    """Places [O, 4] as boxes that lie in the picture."""
    boxes: Tensor = to_boxes(torch.from_numpy(places), LEAST_SIDE)
    return boxes.numpy()
