"""Pictures as files: how large they are, and whether they are there and whole."""

import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

# what a whole file ends with, cameras' additions after it included; without it the picture is decoded to be sure
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
TAIL = 4096


VISUAL_GENOME = ("VG_100K", "VG_100K_2")  # the folders of its two archives, which people also unpack into one


class VisualGenomePictures:
    """Where the pictures of Visual Genome are below the data folder; the folders are listed once."""

    def __init__(self, data: Path) -> None:
        self.names = {name: set(os.listdir(data / name)) for name in VISUAL_GENOME if (data / name).is_dir()}

    def find(self, path: str) -> str:
        """The path of a picture, VG_100K/1.jpg, or that in the other folder; the path itself if it is in neither."""
        folder, _, name = path.rpartition("/")
        if name in self.names.get(folder, ()):
            return path
        return next((f"{other}/{name}" for other, names in self.names.items() if name in names), path)


def picture_size(path: Path, decode: bool = False) -> tuple[int, int] | str:
    """Width and height in pixels, or what is wrong with the file.

    The header is read and, of JPEG and PNG, the end, which a truncated file lacks; everything only with `decode`.
    """
    try:
        with Image.open(path) as picture:
            size = picture.size
            if decode or not has_end(path, picture.format):
                picture.load()
    except FileNotFoundError:
        return "missing"
    except (OSError, UnidentifiedImageError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return "truncated" if "truncated" in str(error) else "not readable as a picture"
    return size


def has_end(path: Path, form: str | None) -> bool:
    """Whether a file of that format ends as a whole one does; True for formats of which that is not known."""
    if form not in ENDS:
        return True
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - TAIL, 0))
        return ENDS[form] in file.read()
