"""How like true pictures drawn ones are, as a set: Fréchet and kernel inception distance, and the inception score.

All three look at pictures through the InceptionV3 of TensorFlow's release of 2015-12-05, as published figures do, with
TensorFlow 1's resize to 299 × 299; torch-fidelity has that network, torchmetrics the three formulas.

Sources: Heusel et al. 2017 (FID), Bińkowski et al. 2018 (KID), Salimans et al. 2016 (inception score).
"""

import io
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3, FeatureExtractorInceptionV3
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.inception import InceptionScore
from torchmetrics.image.kid import KernelInceptionDistance

from train.report.network_files import Source, read_state
from train.report.picture_metric import DrawnPictures, Figures
from train.running.command_line import UsageError

FID, IS, KID = "FID", "IS", "KID"
MINIMUM = 2048  # pictures: with fewer than it has features, the network's covariance has no full rank
FID_RESAMPLES = 40
SPLITS = 10  # of the inception score
SUBSETS, SUBSET = 100, 1000  # of the kernel distance, and pictures in each
CHUNK = 32  # pictures at once
RESIZE = "to 299 × 299 by TensorFlow 1's bilinear resize, without antialiasing"

# pictures, uint8 [B, 3, H, W] → features [B, D], logits [B, L]
FeatureNetwork = Callable[[Tensor], tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class Features:
    """What the network says of pictures."""

    features: np.ndarray  # [N, D]
    logits: np.ndarray  # [N, L]

    def __len__(self) -> int:
        return len(self.features)


def inception(source: Source) -> FeatureExtractorInceptionV3:
    """InceptionV3 with weights under torch-fidelity's names; raises `UsageError` for a file that holds another network.

    Without a path it is torch-fidelity's own download, where the source allows that.
    """
    weights = None
    if not source.download or source.path:
        # torch-fidelity would open any pickle at the path: it gets a copy of tensors that were read without one
        weights = io.BytesIO()
        torch.save(read_state(Path(source.name)), weights)
        weights.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048", "logits_unbiased"], weights)
    except RuntimeError as error:  # load_state_dict's: which names are missing, on many lines
        raise UsageError(
            f"{source.name} does not hold the InceptionV3 of {Path(URL_INCEPTION_V3).name}: "
            f"{str(error).splitlines()[1].strip()[:200]}"
        ) from error
    return network


@torch.no_grad()
def features_of(network: FeatureNetwork, pictures: np.ndarray, device: str = "cpu") -> Features:
    """Of pictures, uint8 [N, H, W, 3]."""
    parts = [pictures[start : start + CHUNK] for start in range(0, len(pictures), CHUNK)]
    found = [network(torch.from_numpy(part).permute(0, 3, 1, 2).contiguous().to(device)) for part in parts]
    return Features(*(torch.cat(outputs).float().cpu().numpy() for outputs in zip(*found, strict=True)))


def join(parts: Iterable[Features]) -> Features:
    """Several as one."""
    found = list(parts)
    return Features(np.concatenate([f.features for f in found]), np.concatenate([f.logits for f in found]))


class Likeness:
    """Drawn pictures against true ones, whose features are computed once for all that is held against them."""

    def __init__(
        self, names: Sequence[str], network: FeatureNetwork, true: Features, device: str = "cpu", force: bool = False
    ) -> None:
        """`names` of `FID`, `IS` and `KID`; with `force`, too few pictures are measured nevertheless."""
        self.names, self.network, self.true, self.device, self.force = names, network, true, device, force
        self.seen: list[tuple[int, Features]] = []  # samples of each graph, all of their features

    def see(self, drawn: DrawnPictures) -> None:
        samples = drawn.pictures.shape[1]
        self.seen.append((samples, features_of(self.network, drawn.flat, self.device)))

    def figures(self) -> Figures:
        """Raises `UsageError` for too few pictures."""
        drawn = join(features for _, features in self.seen)
        check_enough(len(drawn), len(self.true), self.names, self.force)
        samples = self.seen[0][0]
        figures = {
            FID: lambda: frechet_distance_with_interval(drawn.features, self.true.features, samples),
            IS: lambda: inception_score(drawn.logits),
            KID: lambda: kernel_distance(drawn.features, self.true.features),
        }
        return {name: figures[name]() for name in self.names}

    def notes(self) -> dict[str, str]:
        drawn = sum(len(features) for _, features in self.seen)
        few = f"; fewer than {MINIMUM} say nothing, and were forced" if min(drawn, len(self.true)) < MINIMUM else ""
        return {"pictures compared": f"{drawn} drawn with {len(self.true)} true{few}"}


def check_enough(drawn: int, true: int, names: Sequence[str], force: bool) -> None:
    """Raises `UsageError` where a set has fewer than `MINIMUM` pictures and that is not forced."""
    if force or min(drawn, true) >= MINIMUM:
        return
    raise UsageError(
        f"{', '.join(names)} of {drawn} drawn and {true} true pictures would say nothing: the figures of fewer than "
        f"{MINIMUM} depend on their number. Write --graphs {MINIMUM} or more, or --force to see them nevertheless"
    )


def frechet_distance(features: np.ndarray, true: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to features [N, D] and [M, D], by torchmetrics."""
    metric = FrechetInceptionDistance(feature=_same(features.shape[1])).set_dtype(torch.float64)
    metric.update(torch.from_numpy(true).double(), real=True)
    metric.update(torch.from_numpy(features).double(), real=False)
    return float(metric.compute())


def frechet_distance_with_interval(features: np.ndarray, true: np.ndarray, samples: int = 1) -> list[float]:
    """The distance with its 95 % interval; `samples` pictures of a graph stand beside each other, resampled together.

    Of resampled pictures the spread alone is taken: the distance grows where pictures repeat, and percentiles with it.
    """
    rng, grouped = np.random.default_rng(0), features.reshape(-1, samples, features.shape[1])
    distance = DistanceTo(true)
    resampled = [
        distance(grouped[rng.integers(len(grouped), size=len(grouped))].reshape(features.shape))
        for _ in range(FID_RESAMPLES)
    ]
    return _with_margin(frechet_distance(features, true), 1.96 * float(np.std(resampled)))


class DistanceTo:
    """The same Fréchet distance to the same true pictures, many times: ten times as fast as the general formula.

    With a root R of the true covariance C' = R Rᵀ, tr √(C C') is the sum of the singular values of the centred features
    times R, by the square root of their number less one.
    """

    def __init__(self, true: np.ndarray) -> None:
        true = true.astype(np.float64)
        count, dimensions = true.shape
        self.mean = true.mean(axis=0)
        self.root = (true - self.mean).T / (count - 1) ** 0.5  # [D, M]
        if count > dimensions:
            values, vectors = np.linalg.eigh(self.root @ self.root.T)
            self.root = vectors * np.sqrt(values.clip(0))  # [D, D]

    def __call__(self, features: np.ndarray) -> float:
        """Of features [N, D]."""
        mean = features.mean(axis=0, dtype=np.float64)
        centred = (features - mean) / (len(features) - 1) ** 0.5  # [N, D]
        product = centred @ self.root
        square = product @ product.T if len(product) < product.shape[1] else product.T @ product
        shared = np.sqrt(np.linalg.eigvalsh(square).clip(0)).sum()
        return float(((mean - self.mean) ** 2).sum() + (centred**2).sum() + (self.root**2).sum() - 2 * shared)


def inception_score(logits: np.ndarray) -> list[float]:
    """The score of logits [N, L] in ten parts, by torchmetrics; the interval is that of the mean of the parts."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", UserWarning)  # that it keeps all features, which is known
        torch.manual_seed(0)  # of the order in which pictures fall into parts
        metric = InceptionScore(feature=nn.Identity(), splits=SPLITS)
        metric.update(torch.from_numpy(logits).double())
        mean, spread = metric.compute()
    return _with_margin(float(mean), 1.96 * float(spread) / SPLITS**0.5)


def kernel_distance(features: np.ndarray, true: np.ndarray) -> list[float]:
    """The unbiased kernel distance of features [N, D] and [M, D], by torchmetrics.

    It is a mean over random subsets. The spread of those, of at most half of the pictures each, gives the interval:
    what is drawn without putting back varies by (1 - part) less than new pictures would.
    """
    fewest = min(len(features), len(true))
    size = max(min(SUBSET, fewest // 2), 2)
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore", UserWarning)
        torch.manual_seed(0)
        metric = KernelInceptionDistance(feature=nn.Identity(), subsets=SUBSETS, subset_size=size)
        metric.update(torch.from_numpy(true).double(), real=True)
        metric.update(torch.from_numpy(features).double(), real=False)
        mean, spread = (float(value) for value in metric.compute())
    part = size / fewest
    margin = 1.96 * spread * (part / (1 - part)) ** 0.5 if part < 1 else float("inf")
    return [mean, mean - margin, mean + margin]  # unbiased, so that it may be below zero


def _same(count: int) -> nn.Module:
    same: Any = nn.Identity()
    same.num_features = count
    return same


def _with_margin(value: float, margin: float) -> list[float]:
    return [value, max(value - margin, 0.0), value + margin]
