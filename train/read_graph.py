"""Shows what is read of scene graphs: one graph per line on standard output, what was left out on standard error.

python train/read_graph.py graphs/desk.txt
python train/read_graph.py scene_graphs.json --to lines --size 800x600

Needs Python alone: neither torch nor any other library.
"""

import argparse
import os
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # works where the project is not installed

from sg_models.graph.foreign_graph import Size  # noqa: E402
from sg_models.graph.graph_files import GraphFile, GraphFileError, read_source  # noqa: E402
from sg_models.graph.line_syntax import format_lines  # noqa: E402
from sg_models.graph.scene_graph import SceneGraphError  # noqa: E402

REFUSED = 1  # the exit code


def main() -> None:
    options = _options()
    printed = 0
    for source in options.file:
        try:
            files = read_source(source, options.size)
        except (GraphFileError, SceneGraphError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(REFUSED)
        for file in files:
            printed = _print(file, options.to, printed)


def _print(file: GraphFile, to: str, printed: int) -> int:
    """Prints a file's graphs; the lines of one graph are set off from those of the next by an empty line."""
    for warning in file.warnings():
        print(f"warning: {warning}", file=sys.stderr)
    for graph in file.reading.graphs:
        if to == "lines" and printed:
            print()
        print(format_lines(graph) if to == "lines" else graph.to_json())
        printed += 1
    return printed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "file", nargs="+", help="a .json, .jsonl or .txt file, a folder of them, or - for standard input"
    )
    parser.add_argument("--to", choices=("json", "lines"), default="json", help="canonical JSON, or the line syntax")
    parser.add_argument(
        "--size",
        type=_size,
        metavar="WIDTHxHEIGHT",
        help="pixels of the pictures whose size is neither in the file nor in an image_data.json beside it",
    )
    return parser.parse_args()


def _size(text: str) -> Size:
    numbers = re.fullmatch(r"([1-9][0-9]{0,5})\s*[xX×]\s*([1-9][0-9]{0,5})", text.strip())
    if not numbers:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write pixels, such as 800x600")
    return float(numbers[1]), float(numbers[2])


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(encoding="utf-8")  # Windows consoles have fewer characters than graphs
    try:
        main()
    except BrokenPipeError:  # whoever reads, `head` for one, has enough; Python would complain again when it closes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
