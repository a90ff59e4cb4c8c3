"""Measures pictures on a data set's test splits: how they obey their graphs, and how like true pictures they are.

    python train/evaluate.py --base sg-mini --adapter vi --json results.json
    python train/evaluate.py --base sd21-base --adapter vi --dataset vg --data data/vg --graphs 5000 --out runs/vg-vi \\
        --metrics fid is kid --feature-network weights-inception-2015-12-05-6726825d.pth
    python train/evaluate.py --pictures runs/vg-vi --dataset vg --data data/vg --metrics detector --detector <folder>

Variant (i), the graph as a caption, is measured beside the adapter on the same graphs and the same noise. The first
line uses the data set's own judge, which Shapes has: a synthetic world, which says which conditioning works, not how
Stable Diffusion 2.1 would do on photographs. Pictures that were kept with --out, or that another system drew, are
measured without drawing. The protocol stands below every table: figures of another one cannot be compared with these.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from sg_models.adapters.variants import CAPTION_VARIANT
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from train.bases.base_model import BaseModel
from train.bases.load import load_base
from train.conditioning.conditioners import Conditioner, GSAConditioner, LayoutConditioner
from train.conditioning.influence import InfluenceOptions
from train.conditioning.sampling import STEPS, draw_graphs, starting_noise
from train.conditioning.trained_adapter import NO_ADAPTER, load_variant, variant_files
from train.data.dataset import Split
from train.data.graph_variation import without_boxes
from train.data.known_datasets import DatasetOptions, open_dataset
from train.report.metrics import result_table
from train.report.network_files import fingerprint
from train.report.obedience import has_judge
from train.report.picture_folder import PictureFolder, found_variants, read_report, variant_folder, write_report
from train.report.picture_grid import to_pil
from train.report.picture_metric import DrawnPictures
from train.report.picture_metrics import JUDGE, MetricOptions, Metrics
from train.report.protocol import Protocol
from train.running.command_line import UsageError, run

DATA = "fingerprint of the data"  # in reports: pictures of other graphs are not gone on with


@dataclass
class Config(MetricOptions, DatasetOptions, InfluenceOptions):
    base: str = sg_mini.NAME
    adapter: str = "vi"
    """a variant's name, the path of an adapter file, or none; several with commas between them: iii,iv,v"""
    bert: str | None = None
    """a folder or hub id of the BERT that the adapter was trained with, if not the packaged one"""
    graphs: int = 500
    """held-out graphs per split"""
    samples: int = 1
    """pictures of each graph, each from noise of its own"""
    split: str | None = None
    """one split alone, instead of all that the data set is tested on"""
    seed: int = 0
    steps: int = STEPS
    guidance: float | None = None
    """of both variants; if left out, what serves each best"""
    on_negative: bool = True
    """of gated self-attention: whether the negative prompt gets the tokens for "no graph", or is the base's own"""
    batch_size: int = 50
    pictures: Path | None = None
    """measure the pictures in this folder, which --out wrote or another system drew, instead of drawing"""
    out: Path | None = None
    """keep the pictures in this folder; those that are there already are not drawn again"""
    side: int | None = None
    """pixels: the size at which drawn and true pictures are compared; if left out, the size they are drawn at"""
    json: Path | None = None
    """write the figures there too"""


@dataclass
class Drawer:
    """A variant in a base of its own, which draws graphs of a split."""

    base: BaseModel
    condition: Conditioner
    name: str
    config: Config

    @property
    def settings(self) -> dict[str, Any]:
        """What it draws with, for the protocol, and for whoever finds the pictures."""
        config, condition = self.config, self.condition
        guidance = condition.guidance if config.guidance is None else config.guidance
        on_negative = {"on_negative": config.on_negative} if isinstance(condition, GSAConditioner) else {}
        graph = asdict(condition.influence) if isinstance(condition, GSAConditioner | LayoutConditioner) else {}
        weights = adapter_weights(self.name, self.base.name)
        settings = {"base": config.base, "adapter": weights, "dataset": config.dataset, "first seed": config.seed}
        return settings | {"steps": config.steps, "guidance": guidance} | on_negative | graph

    def pictures(self, split: Split, parts: Sequence[list[int]]) -> Iterator[list[list[np.ndarray]]]:
        """All samples of the graphs of each part, uint8 [H, W, 3]; those that `--out` holds already are read."""
        config = self.config
        noise = [starting_noise(self.base, config.seed + s, len(split.graphs)) for s in range(config.samples)]
        kept = PictureFolder(variant_folder(config.out, split.name, self.name)) if config.out else None
        for part in parts:
            if kept is None or not kept.has(part, config.samples):
                graphs = [without_boxes(split.graphs[place]) for place in part]
                drawn = [self._draw(graphs, noise[sample][part]) for sample in range(config.samples)]
                pictures = [list(samples) for samples in zip(*drawn, strict=True)]
                if kept is None:
                    yield pictures
                    continue
                for place, samples in zip(part, pictures, strict=True):
                    for sample, picture in enumerate(samples):
                        kept.write(place, sample, picture)
            yield kept.read(part, config.samples)

    def _draw(self, graphs: Sequence, noise: torch.Tensor) -> list[np.ndarray]:
        config = self.config
        drawn = draw_graphs(self.base, self.condition, graphs, noise, steps=config.steps, guidance=config.guidance)
        return [np.asarray(to_pil(picture)) for picture in drawn]


@dataclass
class Found:
    """Pictures of one variant in folders, by split."""

    folders: dict[str, Path]
    samples: int

    @property
    def settings(self) -> dict[str, Any] | None:
        """What they were drawn with; None where nobody said."""
        report = read_report(next(iter(self.folders.values())))
        return report and {name: value for name, value in report.items() if name != DATA}

    def pictures(self, split: Split, parts: Sequence[list[int]]) -> Iterator[list[list[np.ndarray]]]:
        """All samples of the graphs of each part, uint8 [H, W, 3]."""
        folder = PictureFolder(self.folders[split.name])
        for part in parts:
            yield folder.read(part, self.samples)


def main(config: Config) -> None:
    check_numbers(config)
    data = open_dataset(config)
    splits = [data.split(name, config.graphs) for name in ([config.split] if config.split else data.test_splits)]
    names = config.metrics or default_metrics(has_judge(data, splits[0]), data.name)
    metrics = Metrics(config, names, data)
    metrics.check(splits, config.samples)
    variants = found_pictures(config, splits) if config.pictures else drawers(config, splits)
    protocol = Protocol(
        f"{data.name} ({data.title})",
        {split.name: len(split.graphs) for split in splits},
        config.samples,
        config.side or drawn_side(variants, splits[0]),
        {name: source.settings for name, source in variants.items()},
        metrics.networks,
    )
    results = measure_all(variants, splits, metrics, config.batch_size, protocol)
    print(result_table(results))
    print(f"\n{protocol.text()}")
    if config.json:
        write_json(config, results, protocol)


def check_numbers(config: Config) -> None:
    """Raises `UsageError` for options that cannot be, or not together."""
    if config.graphs < 2:
        raise UsageError("--graphs must be at least 2: an interval needs more than one graph")
    if config.samples < 1 or config.batch_size < 1:
        raise UsageError("--samples and --batch-size must be at least 1")
    if config.pictures is not None and config.out is not None:
        raise UsageError("--pictures measures what is drawn already, --out keeps what is drawn now; write one of them")


def default_metrics(judge: bool, dataset: str) -> tuple[str, ...]:
    """What is measured where nothing is said; raises `UsageError` where the data set has no judge."""
    if judge:
        return (JUDGE,)
    raise UsageError(
        f"nothing can tell whether a picture of {dataset} obeys its graph; say what to measure, such as --metrics fid"
    )


def drawers(config: Config, splits: Sequence[Split]) -> dict[str, Drawer | Found]:
    """The variants that draw now; where pictures are kept, what they are drawn with is written beside them."""
    names = [name for name in (CAPTION_VARIANT, *config.adapter.split(",")) if name != NO_ADAPTER]
    made: dict[str, Drawer | Found] = {name: Drawer(*load(config, name), name, config) for name in names}
    if config.out is not None:
        for name, drawer in made.items():
            for split in splits:
                settings = drawer.settings | {DATA: split.fingerprint()}
                write_report(variant_folder(config.out, split.name, name), settings)
    return made


def found_pictures(config: Config, splits: Sequence[Split]) -> dict[str, Drawer | Found]:
    """Variants whose pictures are in a folder; raises `UsageError` where it is not clear which split they are of."""
    folder = config.pictures
    assert folder is not None
    folders = {split.name: found_variants(folder, split.name) for split in splits}
    first, *others = folders.values()
    if any(set(other) != set(first) for other in others):
        raise UsageError(f"the splits in {folder} are of different variants; write --split <one of them>")
    if others and folder in first.values():
        raise UsageError(f"{folder} holds pictures of one split; write --split {' or '.join(folders)}")
    return {name: Found({split: found[name] for split, found in folders.items()}, config.samples) for name in first}


def load(config: Config, name: str) -> tuple[BaseModel, Conditioner]:
    """A variant, and a base of its own: variants change the UNet that they are put into."""
    base = load_base(config.base).to("cuda" if torch.cuda.is_available() else "cpu").freeze()
    influence = config.influence() if name == config.adapter else None  # the caption beside it has none
    condition = load_variant(base, name, config.bert, influence)
    if isinstance(condition, GSAConditioner):
        condition.on_negative = config.on_negative
    elif name != CAPTION_VARIANT and not config.on_negative:
        raise UsageError(f"--no-on-negative is for gated self-attention, (v) to (vii); ({name}) has none")
    return base, condition


def adapter_weights(name: str, base: str) -> str:
    """What a variant adds to its base, by the SHA-256 of its files."""
    return " and ".join(map(fingerprint, variant_files(name, base)[1:])) or "none"


def drawn_side(variants: dict[str, Drawer | Found], split: Split) -> int:
    """The size of the pictures, of the first if they are found in a folder."""
    first = next(iter(variants.values()))
    if isinstance(first, Drawer):
        return first.base.side
    ((picture,),) = next(Found(first.folders, 1).pictures(split, [[0]]))
    return min(picture.shape[:2])


def measure_all(
    variants: dict[str, Drawer | Found],
    splits: Sequence[Split],
    metrics: Metrics,
    batch_size: int,
    protocol: Protocol,
) -> dict[str, dict[str, Any]]:
    """Every variant's figures on every split, each metric with its 95 % interval; notes go into the protocol."""
    results: dict[str, dict[str, Any]] = {}
    for split in splits:
        true = metrics.true_features(split, protocol.side)
        for name, source in variants.items():
            made = metrics.fresh(split, name, true)
            for drawn in shown(source, split, protocol.side, name, batch_size):
                for metric in made:
                    metric.see(drawn)
            figures = [metric.figures() for metric in made]
            results.setdefault(split.name, {})[name] = {key: value for part in figures for key, value in part.items()}
            notes = {key: words for metric in made for key, words in metric.notes().items()}
            protocol.notes.setdefault(split.name, {})[name] = notes
    return results


def shown(source: Drawer | Found, split: Split, side: int, name: str, batch_size: int) -> Iterator[DrawnPictures]:
    """The pictures of a split, a few graphs at a time, at the size at which they are compared."""
    count = len(split.graphs)
    parts = [list(range(start, min(start + batch_size, count))) for start in range(0, count, batch_size)]
    bar = tqdm(parts, desc=f"({name}), {split.name}")
    for part, pictures in zip(bar, source.pictures(split, parts), strict=True):
        resized = np.array([[at_side(picture, side) for picture in samples] for samples in pictures])
        yield DrawnPictures(part, [without_boxes(split.graphs[place]) for place in part], resized)


def at_side(picture: np.ndarray, side: int) -> np.ndarray:
    """A picture, uint8 [H, W, 3], as a square; its middle if it is none. Resized as true pictures are."""
    height, width, _ = picture.shape
    if height == width == side:
        return picture
    least = min(height, width)
    left, top = (width - least) // 2, (height - least) // 2
    image = Image.fromarray(picture)
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS, box=(left, top, left + least, top + least)))


def write_json(config: Config, results: dict[str, Any], protocol: Protocol) -> None:
    """The figures with what they were measured with."""
    assert config.json is not None
    drawn = {name: settings or {} for name, settings in protocol.drawn.items()}
    first = next(iter(drawn.values()))
    settings = {"base": first.get("base"), "graphs": config.graphs, "seed": first.get("first seed")}
    settings |= {"steps": first.get("steps"), "on_negative": config.on_negative}
    guidance = {name: settings.get("guidance") for name, settings in drawn.items()}
    written = settings | {"guidance": guidance, "results": results, "protocol": protocol.to_dict()}
    with whole_file(config.json) as file:
        file.write_text(json.dumps(written, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    run(main, Config)
