"""One file from an address: streamed beside its place, gone on with where it broke off, whole or absent."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from http.client import HTTPResponse
from pathlib import Path

from tqdm import tqdm

from train.running.command_line import UsageError

PART = 1 << 20  # bytes at once
ATTEMPTS = 5  # in a row that bring nothing
SECONDS = 60  # without an answer
PAUSE = 2.0  # seconds before another attempt
RANGE_NOT_SATISFIABLE = 416
BY_HAND = "download it with a browser and put it there, or leave --download out (docs/data.md)"
BROKEN_OFF = (urllib.error.URLError, http.client.HTTPException, OSError)


def download(url: str, place: Path) -> None:
    """Fetches `url` to `place`; what an earlier attempt left beside it (`.part`) is gone on with.

    Raises `UsageError` where the address does not answer, or says that there is no such file.
    """
    part = place.with_name(f"{place.name}.part")
    place.parent.mkdir(parents=True, exist_ok=True)
    vain, error = 0, None
    while vain < ATTEMPTS:
        before = part.stat().st_size if part.exists() else 0
        try:
            append(url, part, before)
            os.replace(part, place)
            return
        except urllib.error.HTTPError as refusal:
            if refusal.code == RANGE_NOT_SATISFIABLE and before:
                part.unlink()  # of another file than is there now
                continue
            raise UsageError(f"{url} answers {refusal.code} {refusal.reason}; {BY_HAND}") from refusal
        except BROKEN_OFF as broken:
            error = broken
        brought = part.exists() and part.stat().st_size > before
        vain = 0 if brought else vain + 1
        time.sleep(PAUSE)
    raise UsageError(f"{url} does not answer ({error}); try again later, which goes on from here, or {BY_HAND}")


def append(url: str, part: Path, start: int) -> None:
    """Writes what is at an address from byte `start` on to the end of a file, or anew if the server knows no parts.

    Raises one of `BROKEN_OFF` if not all of it came.
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        if start and not goes_on(answer, start):
            start = 0
        length = answer.headers.get("Content-Length")
        total = start + int(length) if length else None
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(desc=part.stem, initial=start, total=total, unit="B", unit_scale=True, mininterval=2) as bar,
        ):
            while piece := answer.read(PART):
                bar.update(file.write(piece))
    if total is not None and part.stat().st_size != total:
        raise ConnectionError(f"{part.stat().st_size} of {total} bytes came")


def goes_on(answer: HTTPResponse, start: int) -> bool:
    """Whether an answer begins where it was asked to."""
    return answer.status == http.client.PARTIAL_CONTENT and answer.headers.get("Content-Range", "").startswith(
        f"bytes {start}-"
    )


def check_sha256(path: Path, expected: str) -> None:
    """Raises `UsageError`, and deletes the file, if it is another one."""
    total = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(PART):
            total.update(piece)
    if total.hexdigest() != expected:
        path.unlink()
        raise UsageError(f"{path} had another SHA-256 than {expected} and is deleted; {BY_HAND}")
