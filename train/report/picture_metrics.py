"""The metrics that `--metrics` names, and the networks that they need: one table for options, checks and protocol."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from sg_models.verification.shapes.oracle import ORACLE
from train.data.dataset import Dataset, Split
from train.report import clip_score, likeness
from train.report.best_of import BestOf
from train.report.clip_score import ClipMetrics, ClipNetwork
from train.report.detected_objects import DetectedGraphs
from train.report.detectors import open_detector
from train.report.diversity import Diversity, lpips_network
from train.report.graph_overlap import GraphFiles, GraphOverlap, GraphReader
from train.report.likeness import Likeness, features_of, inception, join
from train.report.network_files import Source, device
from train.report.obedience import Obedience
from train.report.picture_folder import variant_folder
from train.report.picture_metric import PictureMetric
from train.report.vision_language_model import VisionLanguageModel
from train.running.command_line import UsageError

MetricName = Literal["judge", "best-of", "fid", "is", "kid", "lpips", "clip", "retrieval", "detector", "sg-iou"]
JUDGE, BEST_OF, LPIPS, DETECTOR, SG_IOU = "judge", "best-of", "lpips", "detector", "sg-iou"
LIKENESS = {"fid": likeness.FID, "is": likeness.IS, "kid": likeness.KID}  # all by one network, each picture seen once
CLIP = {"clip": clip_score.SCORE, "retrieval": clip_score.RETRIEVAL}
DEFAULT_CLIP = "openai/clip-vit-large-patch14"
CHUNK = 32  # true pictures at once


@dataclass
class MetricOptions:
    """What is measured, and through which networks."""

    metrics: tuple[MetricName, ...] = ()
    """judge: the data set's own; best-of: the same of the best of several --samples; fid, is, kid: likeness to true
    pictures; lpips: diversity (DS); clip, retrieval: how captions fit; detector: object occurrence (OOR), spatial
    relations; sg-iou: graphs of pictures. By default, judge"""
    feature_network: Path | None = None
    """InceptionV3 of fid, is and kid: weights-inception-2015-12-05-6726825d.pth, or its tensors in a .safetensors"""
    lpips_network: Path | None = None
    """torchvision's AlexNet of lpips: alexnet-owt-7be5be79.pth, or its tensors in a .safetensors"""
    clip: str | None = None
    """of clip and retrieval: a folder or hub id in transformers' format; not the one that pictures were drawn with"""
    detector: str | None = None
    """of detector: a YOLOX .onnx file (COCO's 80 names), a folder or hub id of OWLv2 or Grounding DINO (any name), or
    shapes, the oracle of that world"""
    detector_threshold: float | None = None
    """the score from which on an object counts as seen; if left out, what the detector's authors take"""
    vlm: str | None = None
    """of sg-iou: a folder or hub id of an image-text-to-text model, which reads graphs off pictures"""
    picture_graphs: Path | None = None
    """of sg-iou, instead: a folder of graphs of the pictures, named as --out names those, 000012-0.json"""
    download_networks: bool = False
    """let networks be downloaded: Inception, AlexNet and a CLIP where none is named, and whatever a hub id names"""
    force: bool = False
    """measure fid, is and kid on fewer than 2,048 pictures, where they say nothing"""


class Metrics:
    """The metrics of some options: networks are loaded once, metrics made anew for every set of pictures."""

    def __init__(self, options: MetricOptions, names: Sequence[str], data: Dataset) -> None:
        self.options, self.names, self.data = options, names, data
        self.device = device()
        self.networks: dict[str, str] = {}  # what a protocol says of those that are loaded

    def check(self, splits: Sequence[Split], samples: int) -> None:
        """Loads every network, before any picture is drawn.

        Raises `UsageError` where a metric lacks one, or where there will be too few pictures for it.
        """
        for name in self.names:
            if name not in get_args(MetricName):
                raise UsageError(f"there is no metric {name!r}; write --metrics {' '.join(get_args(MetricName))}")
        if self._some(LIKENESS):
            graphs = min(len(split.graphs) for split in splits)
            likeness.check_enough(graphs * samples, graphs, self._some(LIKENESS), self.options.force)
            _ = self.inception
        if BEST_OF in self.names and samples < 2:
            raise UsageError("best-of keeps one of several pictures of a graph; write --samples 8")
        if LPIPS in self.names and samples < 2:
            raise UsageError("lpips compares two pictures of one graph; write --samples 2")
        if self._some(CLIP):
            _ = self.clip
        for name, network in ((LPIPS, "lpips"), (DETECTOR, "detector"), (SG_IOU, "reader")):
            if name in self.names:
                getattr(self, network)

    def fresh(self, split: Split, variant: str, true: likeness.Features | None) -> list[PictureMetric]:
        """New metrics for a variant's pictures of a split; `true` are the features of its true pictures."""
        made: list[PictureMetric] = [Obedience(self.data)] if JUDGE in self.names else []
        if BEST_OF in self.names:
            made.append(BestOf(self.data))
        if self._some(LIKENESS) and true is not None:
            made.append(Likeness(self._some(LIKENESS), self.inception, true, self.device, self.options.force))
        if LPIPS in self.names:
            made.append(Diversity(self.lpips, self.device))
        if self._some(CLIP):
            made.append(ClipMetrics(self._some(CLIP), self.clip))
        if DETECTOR in self.names:
            made.append(DetectedGraphs(self.detector))
        if SG_IOU in self.names:
            made.append(GraphOverlap(self.reader(split, variant)))
        return made

    def true_features(self, split: Split, side: int) -> likeness.Features | None:
        """Of a split's true pictures; None where no metric asks for them."""
        if not self._some(LIKENESS):
            return None
        places = np.array_split(np.arange(len(split.graphs)), -(-len(split.graphs) // CHUNK))
        pictures = (split.pictures(part.tolist(), side) for part in places)
        return join(features_of(self.inception, part, self.device) for part in pictures)

    @cached_property
    def inception(self) -> Any:
        source = self._source(self.options.feature_network, "feature-network", "Inception of torch-fidelity")
        network = inception(source).to(self.device)
        self.networks["feature network"] = f"InceptionV3, {source.words()}, pictures {likeness.RESIZE}"
        return network

    @cached_property
    def lpips(self) -> Any:
        source = self._source(self.options.lpips_network, "lpips-network", "AlexNet of torchvision")
        network = lpips_network(source)
        self.networks["LPIPS"] = f"AlexNet, {source.words()}, pictures at their own size"
        return network

    @cached_property
    def clip(self) -> ClipNetwork:
        source = self._source(self.options.clip, "clip", DEFAULT_CLIP)
        network = ClipNetwork(source, self.device)
        self.networks["CLIP"] = source.words()
        return network

    @cached_property
    def detector(self) -> Any:
        source = self._source(self.options.detector, "detector", None)
        detector = open_detector(source, self.options.detector_threshold, self.device)
        words = source.name if source.name == ORACLE else f"{source.words()}, scores above {detector.threshold:g}"
        self.networks["detector"] = words
        return detector

    @cached_property
    def reader(self) -> Callable[[Split, str], GraphReader]:
        """Who reads graphs off the pictures of a split by a variant."""
        folder = self.options.picture_graphs
        if (folder is None) == (self.options.vlm is None):
            raise UsageError("sg-iou needs graphs of the pictures: write --picture-graphs <folder> or --vlm <a model>")
        if folder is not None:
            return partial(_files, folder)
        source = self._source(self.options.vlm, "vlm", None)
        model = VisionLanguageModel(source, self.device)
        self.networks["vision-language model"] = source.words()
        return lambda split, variant: model

    def _some(self, table: dict[str, str]) -> list[str]:
        """The figures of those names of a table that are asked for."""
        return [figure for name, figure in table.items() if name in self.names]

    def _source(self, named: Path | str | None, option: str, default: str | None) -> Source:
        """What an option names, or what is downloaded where that is allowed."""
        download = self.options.download_networks
        if named is not None:
            return Source(str(named), download)
        if download and default is not None:
            return Source(default, download)
        instead = ", or --download-networks" if default else ""
        raise UsageError(f"--metrics {' '.join(self.names)} needs a network: write --{option} <path>{instead}")


def _files(folder: Path, split: Split, variant: str) -> GraphReader:
    """Graphs in files for one split and variant: in folders as those of pictures, or all in one."""
    inside = variant_folder(folder, split.name, variant)
    if inside.is_dir():
        return GraphFiles(inside)
    if any(folder.glob("*.json")):
        return GraphFiles(folder)
    raise UsageError(f"there are no graphs of pictures in {inside} or in {folder}; write a .json for each picture")
