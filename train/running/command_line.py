"""What all scripts do with their command line: read it into a dataclass, and end in one sentence where input is bad."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar, get_origin, get_type_hints

import tyro

from sg_models.files.safetensors_file import WeightsFileError
from sg_models.graph.graph_files import GraphFileError
from sg_models.graph.scene_graph import SceneGraphError
from sg_models.verification.detector_error import DetectorError

Options = TypeVar("Options")
SIGNALLED = 128  # an exit code that says so, the signal's number added


class UsageError(ValueError):
    """The command line asks for something that cannot be done; the message says what to write instead."""


class Interrupted(Exception):
    """A run was asked to end by a signal and has done so, with a checkpoint; the message says how to go on."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = SIGNALLED + number


def run(main: Callable[[Options], None], options: type[Options]) -> None:
    """Calls `main` with the options of the command line; see `in_words`."""
    with in_words():
        check_lists_come_once(sys.argv[1:], options)
        given = tyro.cli(options, description=sys.modules[main.__module__].__doc__)
        check_weights(given)
        main(given)


def check_lists_come_once(arguments: Sequence[str], options: type) -> None:
    """Raises `UsageError` for an option of several values that is given twice: the first ones would be lost."""
    given = [argument.partition("=")[0].replace("_", "-") for argument in arguments if argument.startswith("--")]
    for name, hint in get_type_hints(options).items():
        option = "--" + name.replace("_", "-")
        if get_origin(hint) in (list, tuple) and given.count(option) > 1:
            raise UsageError(f"{option} is given twice; write all of its values after one {option}")


def check_weights(options: object) -> None:
    """Raises `UsageError` for a weight below zero, which would teach the contrary of what its loss is for."""
    for name, value in vars(options).items():
        if name.endswith("_weight") and not value >= 0:  # nor is a NaN
            raise UsageError(f"--{name.replace('_', '-')} is a weight, 0 or more, and not {value:g}")


@contextmanager
def in_words() -> Iterator[None]:
    """A user's mistake ends in its sentence and exit code 2.

    A run that was interrupted says how to go on, and has the exit code that belongs to the signal.
    """
    try:
        yield
    except (UsageError, DetectorError, GraphFileError, SceneGraphError, WeightsFileError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        sys.exit(interrupted.code)
