"""Pictures as files: how large they are, and whether they are there and whole."""

import os
from pathlib import Path

from PIL import Image, UnidentifiedImageError

# what a whole file ends with, cameras' additions after it included; without it the picture is decoded to be sure
ENDS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
TAIL = 4096


VISUAL_GENOME = ("VG_100K", "VG_100K_2")  # the folders of its two archives, which people also unpack into one


def find_picture(data: Path, path: str) -> str:
    """Where a picture of Visual Genome is below the data folder: at its path, VG_100K/1.jpg, or in the other folder.

    The path itself if it is in neither.
    """
    folders = VISUAL_GENOME if not os.path.exists(data / path) else ()
    name = path.rsplit("/", 1)[-1]
    return next((f"{folder}/{name}" for folder in folders if os.path.exists(data / folder / name)), path)


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
