"""Preparing Visual Genome: ours against the plain way, on the same made-up annotations, each in a process of its own.

    python benchmarks/visual_genome.py --images 20000

Neither opens a picture. What is timed starts after the imports; the shorter of the runs counts. Peak memory is the
whole process's; ours has PyTorch in it, which `prepare.py` imports with the training scripts' command line, and the
mapped file, which the system takes back when memory is short.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import visual_genome_plain
from visual_genome_made_up import make

GIGA = 1e9
OURS, PLAIN = "ours", "plain"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--part", choices=(OURS, PLAIN), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(measure(options.part, options.folder)))
        return
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), options.images)
        results: dict[str, list[dict[str, Any]]] = {OURS: [], PLAIN: []}
        for _ in range(options.runs):  # in turns, so that a busy machine is unfair to neither
            for part, runs in results.items():
                runs.append(run(part, folder))
                print(part, json.dumps(runs[-1]), flush=True)
    best = {part: min(runs, key=lambda one: one["seconds"]) for part, runs in results.items()}
    for what in ("seconds", "cpu_seconds"):
        print(f"{what}: {min(r[what] for r in results[PLAIN]) / min(r[what] for r in results[OURS]):.2f} times as fast")
    print(f"peak memory: {best[OURS]['memory'] / GIGA:.2f} GB, the plain way {best[PLAIN]['memory'] / GIGA:.2f} GB")


def run(part: str, folder: str) -> dict[str, Any]:
    """What a process of its own measures."""
    command = [sys.executable, __file__, "--part", part, "--folder", folder]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def measure(part: str, folder: Path) -> dict[str, Any]:
    """Seconds of wall clock and of the processor, peak memory in bytes, and how many pictures each split has."""
    if part == OURS:
        # the plain way needs none of this
        from train.data.prepared.preparation import prepare
        from train.data.prepared.preparer import PrepareOptions
        from train.data.prepared.preparers import find_source

        options = PrepareOptions("vg", folder, pictures=False)
        shutil.rmtree(folder / "prepared", ignore_errors=True)
    wall, processor = time.perf_counter(), time.process_time()
    if part == OURS:
        pictures = {name: split["pictures"] for name, split in prepare(find_source(options), options)["splits"].items()}
    else:
        with tempfile.TemporaryDirectory() as out:  # beside the annotations they would be sg2im's own files
            pictures = visual_genome_plain.prepare(folder, Path(out))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": time.process_time() - processor,
        "memory": memory,
        "pictures": pictures,
    }


if __name__ == "__main__":
    main()
