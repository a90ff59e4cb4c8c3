"""What all scripts do with their command line: read it into a dataclass, and end in one sentence where input is bad."""

import sys
from collections.abc import Callable
from typing import TypeVar

import tyro

from sg_models.files.safetensors_file import WeightsFileError
from sg_models.graph.graph_files import GraphFileError
from sg_models.graph.scene_graph import SceneGraphError

Options = TypeVar("Options")


class UsageError(ValueError):
    """The command line asks for something that cannot be done; the message says what to write instead."""


def run(main: Callable[[Options], None], options: type[Options]) -> None:
    """Calls `main` with the options of the command line; a user's mistake ends in its sentence and exit code 2."""
    try:
        main(tyro.cli(options, description=sys.modules[main.__module__].__doc__))
    except (UsageError, GraphFileError, SceneGraphError, WeightsFileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
