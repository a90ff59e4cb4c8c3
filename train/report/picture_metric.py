"""What a metric of drawn pictures is: it sees all pictures of a few graphs at a time, and gives figures at the end."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sg_models.graph.scene_graph import SceneGraph

Figures = dict[str, list[float]]  # by the figure's name: value, and both ends of its 95 % interval


@dataclass(frozen=True)
class DrawnPictures:
    """All pictures of some graphs: `places` are the graphs' numbers in their split."""

    places: Sequence[int]
    graphs: Sequence[SceneGraph]
    pictures: np.ndarray  # uint8 [G, S, H, W, 3]: S samples of each graph

    @property
    def flat(self) -> np.ndarray:
        """The pictures [G · S, H, W, 3], those of one graph beside each other."""
        return self.pictures.reshape(-1, *self.pictures.shape[2:])


class PictureMetric(Protocol):
    """One metric of one set of pictures; another set gets a new one, so that nothing of an old set is left in it."""

    def see(self, drawn: DrawnPictures) -> None:
        """Takes in pictures; each graph comes once."""
        ...

    def figures(self) -> Figures:
        """Of everything that was seen."""
        ...

    def notes(self) -> dict[str, str]:
        """What a reader of the figures must know beside them: what could not be decided, what failed."""
        ...
