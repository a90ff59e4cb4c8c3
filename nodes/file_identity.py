"""When a file is still the one that was read."""

import os
from pathlib import Path

FileIdentity = tuple[str, int, int, int, int]


def file_identity(path: str | os.PathLike[str]) -> FileIdentity:
    """What is equal for two looks at the same unchanged file.

    A copy may take over the time of change, and the size with it; the time of the inode's change, it cannot (on
    Windows, where that is the time of creation, the other four have to do).
    """
    stat = Path(path).stat()
    return os.path.realpath(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino
