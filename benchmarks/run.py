"""Runs all benchmarks and writes `docs/performance.md`.

    python benchmarks/run.py [--resume]

What each part measured is kept in `runs/bench` as soon as it is done; with `--resume` only the parts missing there run.

ComfyUI is looked for where the host tests look for it; the full-size weights are the random ones that
`tests/full_size/make_sd21.py` writes, now if they are not there. On a GPU everything runs there, in bfloat16.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(REPOSITORY / "tests" / "full_size"), str(REPOSITORY / "tests" / "host"), str(REPOSITORY)]

import torch  # noqa: E402
from comfyui_host import COMFYUI, NO_COMFYUI, comfyui_python  # noqa: E402
from make_sd21 import CACHE, is_complete  # noqa: E402

from sg_models.files.whole_file import whole_file  # noqa: E402

GIGA, TERA = 1e9, 1e12
HERE = Path(__file__).parent
PAGE = REPOSITORY / "docs" / "performance.md"
RESULTS = REPOSITORY / "runs" / "bench"
# glibc gives every large tensor back to the system at once; fetching zeroed pages again took half of all time on two
# cores of a virtual machine. With these it keeps them, for all cases alike.
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**35)}
BASE = "base"
AS_TRAINED = "ours, as the scripts train it"


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs all benchmarks and writes docs/performance.md.")
    parser.add_argument("--resume", action="store_true", help="run only the parts that runs/bench does not hold")
    resume = parser.parse_args().resume
    if not (COMFYUI / "main.py").is_file():
        sys.exit(f"error: {NO_COMFYUI}")
    if not is_complete(CACHE):
        subprocess.run([sys.executable, str(REPOSITORY / "tests" / "full_size" / "make_sd21.py")], check=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    if not resume:
        for old in RESULTS.glob("*.json"):
            old.unlink()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with tempfile.TemporaryDirectory() as folder:
        comfyui = base_directory(Path(folder))
        parts = {
            "graphs": (sys.executable, HERE / "graphs.py"),
            "training": (sys.executable, HERE / "training.py", CACHE / "sd21-base.safetensors"),
            "guidance": (comfyui_python(), HERE / "guidance.py", COMFYUI, REPOSITORY, comfyui, device),
            "sampling": (comfyui_python(), HERE / "inside_comfyui.py", COMFYUI, REPOSITORY, comfyui, device),
        }
        results = {name: load_or_measure(RESULTS / f"{name}.json", command, resume) for name, command in parts.items()}
    text = page(**results)
    with whole_file(PAGE) as file:
        file.write_text(text, "utf-8")
    print(text)


def load_or_measure(result: Path, command: Sequence[object], resume: bool) -> dict[str, Any]:
    """What a part writes to its result file."""
    if not (resume and result.is_file()):
        words = [str(part) for part in (*command, result)]
        subprocess.run(words, check=True, env=os.environ | KEEP_MEMORY | {"PYTHONPATH": str(REPOSITORY)})
    return json.loads(result.read_text("utf-8"))


def base_directory(place: Path) -> Path:
    """A ComfyUI base directory with the full-size weights."""
    for folder, pattern in (
        ("checkpoints", "sd21-base"),
        ("scene_graph", "gsa"),
        ("scene_graph", "controlnet"),
        ("scene_graph", "gligen"),
    ):
        models = place / "models" / folder
        models.mkdir(parents=True, exist_ok=True)
        (models / f"{pattern}.safetensors").symlink_to(CACHE / f"{pattern}.safetensors")
    return place


def page(sampling: dict[str, Any], training: dict[str, Any], graphs: dict[str, Any], guidance: dict[str, Any]) -> str:
    on_cpu = f" ({torch.backends.cpu.get_cpu_capability()}), threads: {sampling['threads']}"
    device = sampling["device"] + on_cpu * (sampling["device"] == "CPU")
    parts = [
        "# Performance",
        "Written by `make bench`; what limits its meaning is in [limits.md](limits.md). All figures of a table come "
        f"from one run. Device: {device}. Weights: random ones of Stable Diffusion 2.1-base's shapes.",
        "## A step of sampling in ComfyUI",
        "Classifier-free guidance, a graph of three objects; the cases of a size took turns, and the fastest turn "
        f"counts; the slowest took {spread(sampling):.0%} longer in the median: smaller differences say nothing. "
        "Core's areas and masks are the prompt and a prompt for each object. *Overhead* is the time over the "
        "base's, divided by the operations over the base's: 1 means that a case costs what its arithmetic costs. Peak "
        "memory is the GPU's; on a CPU it is the process's, all weights included, and says little: ComfyUI's attention "
        "there takes larger parts at once the more memory is free.",
        *(f"### {size}\n\n{steps_table(cases)}" for size, cases in sampling["steps"].items()),
        run_text(sampling, graphs),
        "## Guidance",
        guidance_text(guidance),
        "## A step of training",
        training_text(training),
        "## Graph encoder and layout",
        "Graphs per second until the composed map of 64 × 64 cells; sg2im's design is written after Johnson et al. "
        "2018, with five triple convolutions of 128 and 512.",
        table(
            ["", *(f"batch {batch}" for batch in next(iter(graphs["graphs_per_second"].values())))],
            [[name, *(f"{r:,.0f}" for r in rates.values())] for name, rates in graphs["graphs_per_second"].items()],
        ),
    ]
    return "\n\n".join(parts) + "\n"


def spread(sampling: dict[str, Any]) -> float:
    """By how much a case's slowest turn is longer than its fastest, the median of all cases."""
    turns = [case["all_seconds"] for cases in sampling["steps"].values() for case in cases.values()]
    return statistics.median(max(seconds) / min(seconds) - 1 for seconds in turns)


def steps_table(cases: dict[str, dict[str, float]]) -> str:
    base = cases[BASE]
    rows = []
    for name, case in cases.items():
        time, flops = (case[what] / base[what] for what in ("seconds", "flops"))
        rows.append(
            [
                name,
                f"{case['calls']:.0f}",
                f"{case['seconds']:.3f}",
                f"{case['flops'] / GIGA:,.0f}",
                f"{time:.2f}",
                f"{flops:.2f}",
                f"{time / flops:.2f}",
                f"{case['memory'] / GIGA:.2f}",
            ]
        )
    heads = ["", "UNet calls", "s", "GFLOP", "time / base", "FLOPs / base", "overhead", "peak GB"]
    return table(heads, rows)


def run_text(sampling: dict[str, Any], graphs: dict[str, Any]) -> str:
    end, share = sampling["end"], sampling["share"]
    alone = 1 / graphs["graphs_per_second"][AS_TRAINED]["1"]
    return (
        f"A whole run of 20 steps at 256² with the graph's `end` at 0.3 takes {end['graph'] / end['base']:.2f} × the "
        f"base's time. *Encode Scene Graph* and *Predict Layout* take {share['graph'] * 1000:.0f} ms, "
        f"{share['graph'] / share['run']:.2%} of a run of 20 steps at 512²; {alone * 1000:.0f} ms of them, "
        f"{alone / share['run']:.3%}, are graph encoder and layout, the rest is the phrases in the text encoder."
    )


def guidance_text(guidance: dict[str, dict[str, float]]) -> str:
    """A table for each base: a step with each node of guidance, beside one without."""
    words = (
        "Seconds of a step with classifier-free guidance, two objects in the graph. The *noised eye* is an adapter on "
        "noisy latents, the *predicted eye* the same on predicted ones; the *clean eye* decodes the predicted "
        "picture, with the checkpoint's own VAE, and looks at it through a picture tower: SG-Mini's own, or one of "
        "ViT-H's shape."
    )
    parts = [words]
    for name, cases in guidance.items():
        plain = cases["unguided"]
        rows = [[case, f"{seconds:.3f}", f"{seconds / plain:.2f}"] for case, seconds in cases.items()]
        parts += [f"### {name}", table(["", "s", "time / unguided"], rows)]
    return "\n\n".join(parts)


def training_text(training: dict[str, Any]) -> str:
    rows = []
    for name, case in training["cases"].items():
        rate = case["flops"] / case["seconds"]
        pictures = training["batch"] / case["seconds"]
        rows.append([name, f"{pictures:.3f}", f"{case['flops'] / TERA:.2f}", f"{rate / training['matrix_rate']:.1%}"])
    return (
        f"Pictures of {training['side']}², batch {training['batch']}, {training['precision']}; all three keep the "
        "frozen UNet in that precision, ours by `--half-unet`. Utilisation is of the rate of a large matrix product, "
        f"{training['matrix_rate'] / TERA:.2f} TFLOP/s here.\n\n"
        + table(["", "pictures / s", "TFLOP / step", "utilisation"], rows)
    )


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


if __name__ == "__main__":
    main()
