"""From a preparer's scenes to records on disk, alike for all data sets: pictures checked, cropped, counted, written.

A split is whole or absent, and says beside itself (`.train.part.json`) what it was made of; when `prepare.py` was
interrupted it goes on with the splits that are missing. `prepared.json` comes last.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from sg_models.files.whole_file import whole_file
from train.data.dataset import TRAIN
from train.data.prepared.cropping import cropped
from train.data.prepared.picture_files import picture_size
from train.data.prepared.placing import check_file, placed
from train.data.prepared.prepared_dataset import prepared_folder
from train.data.prepared.preparer import Counts, PrepareOptions, Scene, Source, SplitSource
from train.data.prepared.records import (
    FORMAT,
    REPORT,
    Record,
    index_path,
    progress,
    read_report,
    records_path,
    write_records,
    write_report,
)
from train.running.command_line import UsageError

LARGE = 75  # percentile of the areas of training boxes: the area of a "large" object; Shapes has 0.129
USUALLY_LARGE = 0.1  # of that area, where a data set has no boxes; then nothing depends on it
SAMPLED = 10_000  # records whose boxes are looked at for that
PART = 1 << 20  # bytes of a file read at once


@dataclass
class SplitTotals:
    """What there is in a split, and what was left out of it."""

    counts: Counts
    pictures: int = 0
    objects: int = 0
    relations: int = 0
    areas: list[float] = field(default_factory=list)
    """of the first boxes, parts of the picture"""

    def add(self, record: Record) -> Record:
        """Counts one record, and gives it back."""
        self.pictures += 1
        self.objects += len(record.graph.objects)
        self.relations += len(record.graph.relations)
        if self.pictures <= SAMPLED:
            for x0, y0, x1, y1 in (item.box for item in record.graph.objects if item.box is not None):
                self.areas.append((x1 - x0) * (y1 - y0))
        return record

    def to_dict(self) -> dict[str, Any]:
        """As it stands in `prepared.json`, and beside a split that is done."""
        numbers = {"pictures": self.pictures, "objects": self.objects, "relations": self.relations}
        return {**numbers, "left_out": self.counts.to_dict()}


def prepare(source: Source, options: PrepareOptions) -> dict[str, Any]:
    """Writes the records of all splits and returns what `prepared.json` says.

    Raises `UsageError` if something else was prepared there before, and if no picture of a split stays.
    """
    folder = prepared_folder(options.data, options.dataset)
    files = [describe_file(path, options.data) for path in source.files]
    settings = {"crop": options.crop, "pictures": options.pictures, "check_pictures": options.check_pictures}
    settings |= source.settings
    if options.boxes is not None:
        files.append(describe_file(check_file(options.boxes), options.data))
        settings["base"] = options.base
    fingerprint = digest({"format": FORMAT, "settings": settings, "files": files})
    earlier = earlier_report(folder, fingerprint, options.overwrite)
    if earlier is not None:
        return earlier
    counts = Counts()
    parts = {
        name: write_split(folder, name, split, fingerprint, options) for name, split in source.read(counts).items()
    }
    report = {
        "title": source.title,
        "licence": source.licence,
        "attribution": source.attribution,
        "splits": {name: {key: part[key] for key in part if key != "large_area"} for name, part in parts.items()},
        "left_out": counts.to_dict(),
        "facts": source.facts,
        "large_area": parts[TRAIN]["large_area"],
        "settings": settings,
        "sources": files,
        "fingerprint": fingerprint,
    }
    write_report(folder, report)
    for name in parts:
        part_path(folder, name).unlink()
    return read_report(folder)


def write_split(
    folder: Path, name: str, split: SplitSource, fingerprint: str, options: PrepareOptions
) -> dict[str, Any]:
    """Writes one split, unless that was done before an interruption, and returns what is to be said of it."""
    done = finished_part(folder, name, fingerprint)
    if done is not None:
        return done
    part_path(folder, name).unlink(missing_ok=True)
    totals = SplitTotals(Counts())
    found = records(progress(split.scenes(totals.counts), name, split.total), totals.counts, options)
    if options.boxes is not None:
        found = placed(found, options.boxes, options.base, totals.counts)
    write_records(folder, name, map(totals.add, found))
    if not totals.pictures:
        why = json.dumps(totals.counts.to_dict(), ensure_ascii=False) if totals.counts.to_dict() else "there were none"
        raise UsageError(f"no picture of the split {name!r} stays: {why}")
    large = float(np.percentile(totals.areas, LARGE)) if totals.areas else USUALLY_LARGE
    done = totals.to_dict() | {"large_area": large}
    with whole_file(part_path(folder, name)) as file:
        file.write_text(json.dumps({"fingerprint": fingerprint, "split": done}), "utf-8")
    return done


def records(scenes: Iterable[Scene], counts: Counts, options: PrepareOptions) -> Iterator[Record]:
    """The records of scenes whose pictures are there and whole; what is left out is counted."""
    seen: set[str] = set()
    for scene in scenes:
        if scene.id in seen:
            counts.leave_out("picture", "an id that an earlier one has")
            continue
        seen.add(scene.id)
        size = size_of(scene, options)
        if isinstance(size, str):
            counts.leave_out("picture", size)
            continue
        record = cropped(scene, size, options.crop, counts)
        if record is not None:
            yield record


def size_of(scene: Scene, options: PrepareOptions) -> tuple[int, int] | str:
    """The size of a scene's picture in pixels, from its file if pictures are looked at; or what is wrong with it."""
    if scene.picture is not None and options.pictures:
        return picture_size(options.data / scene.picture, options.check_pictures)
    return scene.size or "a size that only the picture tells, which --no-pictures does not look at"


def earlier_report(folder: Path, fingerprint: str, overwrite: bool) -> dict[str, Any] | None:
    """What was prepared before, if it was the same; None where there is nothing, or it is to be made anew."""
    path = folder / REPORT
    if not path.exists():
        return None
    report = json.loads(path.read_text("utf-8"))
    whole = all(records_path(folder, s).exists() and index_path(folder, s).exists() for s in report.get("splits", {}))
    if report.get("fingerprint") == fingerprint and whole and not overwrite:
        return report
    if not overwrite and whole:
        raise UsageError(
            f"{folder} was prepared with other options or from other files; write --overwrite to replace it"
        )
    path.unlink()  # a folder without one is not prepared
    return None


def finished_part(folder: Path, name: str, fingerprint: str) -> dict[str, Any] | None:
    """What is to be said of a split that was done before an interruption; None if it was not, or was another."""
    path = part_path(folder, name)
    if not path.exists() or not records_path(folder, name).exists() or not index_path(folder, name).exists():
        return None
    part = json.loads(path.read_text("utf-8"))
    return part["split"] if part["fingerprint"] == fingerprint else None


def part_path(folder: Path, name: str) -> Path:
    return folder / f".{name}.part.json"


def describe_file(path: Path, data: Path) -> dict[str, Any]:
    """A file's name below the data folder, its bytes and its SHA-256."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(PART):
            total.update(part)
    name = path.relative_to(data).as_posix() if path.is_relative_to(data) else path.name
    return {"file": name, "bytes": path.stat().st_size, "sha256": total.hexdigest()}


def digest(settings: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()


def summary(report: dict[str, Any]) -> Iterator[str]:
    """What was prepared and what was left out, a sentence a line."""
    total: Counter[tuple[str, str]] = Counter()
    for name, split in report["splits"].items():
        yield f"{name}: {split['pictures']} pictures, {split['objects']} objects, {split['relations']} relations"
    for counts in (report["left_out"], *(split["left_out"] for split in report["splits"].values())):
        total.update({(what, why): n for what, whys in counts.items() for why, n in whys.items()})
    for (what, why), count in sorted(total.items()):
        yield f"left out {count} {what if count == 1 else plural(what)}: {why}"


def plural(what: str) -> str:
    return f"{what}es" if what.endswith("x") else f"{what}s"
