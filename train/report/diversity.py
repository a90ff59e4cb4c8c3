"""How different the pictures of one graph are from each other: the diversity score (DS), LPIPS between its samples.

Source: Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", with AlexNet, as
scene-graph papers have it. Its linear layers come with torchmetrics, the AlexNet from a file or torchvision's download.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torchmetrics.functional.image.lpips import _NoTrainLpips

from train.report.metrics import mean_with_interval
from train.report.network_files import Source, read_state
from train.report.picture_metric import DrawnPictures, Figures
from train.running.command_line import UsageError

DS = "DS (LPIPS)"
SMALLEST = 64  # pixels: AlexNet's five layers need as many


def lpips_network(source: Source) -> nn.Module:
    """LPIPS on an AlexNet, torchvision's state dict; raises `UsageError` for a file with another network.

    Without a path it is torchvision's own download, where the source allows that.
    """
    if source.download and not source.path:
        return _NoTrainLpips(net="alex")
    network = _NoTrainLpips(net="alex", pnet_rand=True)
    state = read_state(Path(source.name))
    places = [name.rsplit(".", 2) for name in network.net.state_dict()]  # slice2.3.weight is features.3.weight there
    try:
        found = {f"{part}.{i}.{kind}": state[f"features.{i}.{kind}"] for part, i, kind in places}
        network.net.load_state_dict(found)
    except (KeyError, RuntimeError) as error:
        raise UsageError(f"{source.name} does not hold torchvision's AlexNet: {error}") from error
    return network


class Diversity:
    """Mean LPIPS over all pairs of samples of a graph, over graphs."""

    def __init__(self, network: nn.Module, device: str = "cpu") -> None:
        self.network, self.device = network.to(device), device
        self.distances: list[float] = []  # of each graph

    def see(self, drawn: DrawnPictures) -> None:
        """At least two samples of each graph; raises `UsageError` for pictures that are too small."""
        _, samples, height, width, _ = drawn.pictures.shape
        if min(height, width) < SMALLEST:
            raise UsageError(f"lpips needs pictures of {SMALLEST} pixels, these have {width} × {height}; write --side")
        pairs = [self._distance(drawn.pictures[:, a], drawn.pictures[:, b]) for a, b in combinations(range(samples), 2)]
        self.distances += np.mean(pairs, axis=0).tolist()

    def figures(self) -> Figures:
        return {DS: mean_with_interval(np.array(self.distances))}

    def notes(self) -> dict[str, str]:
        return {}

    @torch.no_grad()
    def _distance(self, one: np.ndarray, other: np.ndarray) -> np.ndarray:
        """Of pictures, uint8 [G, H, W, 3], each to its partner: [G]."""
        return self.network(self._tensor(one), self._tensor(other), normalize=True).flatten().cpu().numpy()

    def _tensor(self, pictures: np.ndarray) -> Tensor:
        return torch.from_numpy(pictures).permute(0, 3, 1, 2).to(self.device).float() / 255  # [G, 3, H, W]
