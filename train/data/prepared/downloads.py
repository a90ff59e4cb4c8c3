"""Files of data sets that are fetched on request (`prepare.py --download`), and where from.

The addresses are those that answered when this was written; visualgenome.org no longer belongs to Visual Genome. What
has a SHA-256 here is held against it; of the archives, which have none that is published, every file's CRC is checked.
"""

import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from sg_models.files.whole_file import whole_file
from train.data.prepared.download import check_sha256, download
from train.data.prepared.preparer import PrepareOptions
from train.running.command_line import UsageError

WASHINGTON = "https://homes.cs.washington.edu/~ranjay/visualgenome/data/dataset"
STANFORD = "https://cs.stanford.edu/people/rak248/VG_100K_2"
SG2IM = "https://raw.githubusercontent.com/google/sg2im/2c1bf4a150f8a70c0977200a6719519213367b5c/sg2im/data"
COCO = "http://images.cocodataset.org"
PART = 1 << 20  # bytes unpacked at once


@dataclass(frozen=True)
class RemoteFile:
    """What lies at an address: the file `place` itself, or an archive whose files go below the data folder."""

    url: str
    place: str
    """a file or, ending in /, a folder below the data folder; what is there is not fetched"""
    sha256: str | None = None
    pictures: bool = False
    """pictures are not fetched with --no-pictures"""

    @property
    def is_archive(self) -> bool:
        return self.url.endswith(".zip")

    def is_there(self, data: Path) -> bool:
        """Whether it was fetched before. An archive that is being unpacked is still beside its files."""
        return (data / self.place).exists() and not self.archive(data).exists()

    def archive(self, data: Path) -> Path:
        """Where the archive lies until it is unpacked."""
        return data / f".{self.place.strip('/').replace('/', '-')}.{self.url.rsplit('/', 1)[-1]}"


def visual_genome_annotations(*names: str) -> tuple[RemoteFile, ...]:
    return tuple(RemoteFile(f"{WASHINGTON}/{name}.json.zip", f"{name}.json") for name in names)


VISUAL_GENOME_PICTURES = (
    RemoteFile(f"{STANFORD}/images.zip", "VG_100K/", pictures=True),
    RemoteFile(f"{STANFORD}/images2.zip", "VG_100K_2/", pictures=True),
)
VISUAL_GENOME = (
    *visual_genome_annotations("image_data", "objects", "attributes", "relationships"),
    RemoteFile(f"{WASHINGTON}/object_alias.txt", "object_alias.txt"),
    RemoteFile(f"{WASHINGTON}/relationship_alias.txt", "relationship_alias.txt"),
    RemoteFile(
        f"{SG2IM}/vg_splits.json",
        "vg_splits.json",
        "478f6f4b63b4c2fee782734726db271346d134c5982450d9d45837c5adc7c7bf",
    ),
    *VISUAL_GENOME_PICTURES,
)
DOWNLOADS: dict[str, tuple[RemoteFile, ...]] = {
    "vg": VISUAL_GENOME,
    "vg-open": VISUAL_GENOME,
    # the HDF5 file and its dictionary have no address that stays
    "vg150": (*visual_genome_annotations("image_data"), *VISUAL_GENOME_PICTURES),
    "coco": (
        RemoteFile(f"{COCO}/annotations/annotations_trainval2017.zip", "annotations/instances_train2017.json"),
        RemoteFile(f"{COCO}/annotations/stuff_annotations_trainval2017.zip", "annotations/stuff_train2017.json"),
        RemoteFile(f"{COCO}/zips/train2017.zip", "train2017/", pictures=True),
        RemoteFile(f"{COCO}/zips/val2017.zip", "val2017/", pictures=True),
    ),
}


def fetch(options: PrepareOptions) -> None:
    """Fetches what the data set lacks; goes on where an earlier attempt broke off.

    Raises `UsageError` for a data set without addresses, an address that does not answer, and files that are not whole.
    """
    if options.dataset not in DOWNLOADS:
        raise UsageError(f"{options.dataset} cannot be downloaded; docs/data.md says where its files come from")
    options.data.mkdir(parents=True, exist_ok=True)
    for remote in DOWNLOADS[options.dataset]:
        if remote.is_there(options.data) or (remote.pictures and not options.pictures):
            continue
        if remote.is_archive:
            archive = remote.archive(options.data)
            if not archive.exists() or not archive.stat().st_size:
                download(remote.url, archive)
            unpack(archive, options.data)
            archive.unlink()
        else:
            download(remote.url, options.data / remote.place)
        if remote.sha256:
            check_sha256(options.data / remote.place, remote.sha256)


def unpack(archive: Path, data: Path) -> None:
    """Unpacks an archive below the data folder; files that are there in their full size stay.

    Raises `UsageError` for paths out of the folder, and for an archive that is not whole, which is emptied: what it is
    to hold is then not taken for complete, and fetched anew.
    """
    try:
        with zipfile.ZipFile(archive) as files:
            for member in files.infolist():
                place = (data / member.filename).resolve()
                if not place.is_relative_to(data.resolve()):
                    raise UsageError(f"{archive} would write to {place}, out of {data}; it is not the right archive")
                if member.is_dir() or (place.exists() and place.stat().st_size == member.file_size):
                    continue
                with files.open(member) as packed, whole_file(place) as file, file.open("wb") as out:
                    shutil.copyfileobj(packed, out, PART)
    except zipfile.BadZipFile as error:
        archive.write_bytes(b"")
        raise UsageError(f"{archive} was not whole ({error}); run this again, which downloads it anew") from error
