"""Makes SG-Mini and all its adapters, from nothing: each training in its order, with the options it was made with.

    python train/make_weights.py            # or: make weights
    python train/make_weights.py --until base

It stops and goes on wherever it was: a stage that is done is passed over, and each script resumes from its own
checkpoint. All is written below `runs/weights`, and over the shipped files at the very end alone. What each stage took
is in docs/training.md. The prior of *Arrange Scene Graph* ships as well; it is trained on annotations that have to be
fetched first, by train/train_arrange.py.
"""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sg_models.adapters.variants import BERT, CLIP, VARIANTS, noised_clip_name, structure_clip_name
from sg_models.bases import sg_mini
from sg_models.files.whole_file import whole_file
from train.bases.model_folders import ADAPTERS, CHECKPOINTS, LORAS, MODELS
from train.running.command_line import UsageError, run

SCRIPTS = Path(__file__).parent
SUMS = "SHA256SUMS"


@dataclass
class Config:
    folder: Path = Path("runs/weights")
    """checkpoints and weights of all stages"""
    until: str | None = None
    """leave after the stage of this name; without it, all are made and copied to models/"""
    show: bool = False
    """print the commands, and run none"""


@dataclass(frozen=True)
class Stage:
    """One script with its options; `made` is the file that it writes, `ships` the folder that it is copied to."""

    name: str
    script: str
    options: tuple[str, ...]
    made: Path
    ships: Path | None = None

    def command(self, folder: Path) -> list[str]:
        """The command line, with the stage's own run directory in `folder`."""
        return [sys.executable, str(SCRIPTS / f"{self.script}.py"), *self.options, "--run-dir", str(folder / self.name)]


def stages(folder: Path) -> list[Stage]:
    """All of them in their order, each on what those before it wrote into `folder`."""
    text, tower = folder / "text.safetensors", folder / "tower.safetensors"
    autoencoder, decoder = folder / "autoencoder.safetensors", folder / "decoder.safetensors"
    base, final_text = folder / sg_mini.CHECKPOINT, folder / "text-final.safetensors"
    knowledge = folder / structure_clip_name(sg_mini.NAME)
    pictures, eyes = folder / "picture-tower.safetensors", folder / noised_clip_name(sg_mini.NAME)
    return [
        _stage("text", "train_text_encoder", f"--out {text} --picture-tower {tower}", text),
        _stage("autoencoder", "train_autoencoder", f"--out {autoencoder}", autoencoder),
        _stage(
            "decoder",
            "train_autoencoder",
            f"--init-from {autoencoder} --decoder-only --steps 6000 --learning-rate 3e-4 --warmup 300 --out {decoder}",
            decoder,
        ),
        _stage("base", "train_base", f"--text-encoder {text} --autoencoder {decoder} --out {base}", base),
        _stage(
            "alignment",
            "train_text_encoder",
            f"--base {base} --out {final_text} --picture-tower {tower}",
            final_text,
        ),
        _stage(
            "structure-clip",
            "train_structure_clip",
            f"--text-encoder {final_text} --picture-tower {tower} --out {knowledge}",
            knowledge,
            ships=ADAPTERS,
        ),
        _stage("picture-tower", "train_picture_tower", f"--base {base} --out {pictures}", pictures),
        _stage(
            "noised-clip",
            "train_noised_clip",
            f"--base {base} --picture-tower {pictures} --out {eyes}",
            eyes,
            ships=ADAPTERS,
        ),
        *_adapter_stages(folder, base, knowledge),
    ]


def _adapter_stages(folder: Path, base: Path, knowledge: Path) -> Iterator[Stage]:
    """Those of variants (ii) to (vii)."""
    files = {name: folder / variant.file_name(sg_mini.NAME) for name, variant in VARIANTS.items() if variant.kind}
    layouts = {phrases: folder / f"layout-{phrases}.safetensors" for phrases in (CLIP, BERT)}

    def adapter(name: str, script: str, options: str, **places: Path) -> Stage:
        return _stage(name, script, f"--base {base} {options} --out {files[name]}", files[name], **places)

    yield adapter("vi", "train_gsa", "", ships=ADAPTERS)
    yield adapter("v", "train_gsa", f"--phrases bert --init-from {files['vi']}", ships=ADAPTERS)
    options = f"--phrases structure-clip --structure-clip {knowledge} --init-from {files['vi']}"
    yield adapter("vii", "train_gsa", options, ships=ADAPTERS)
    for phrases, name in ((CLIP, "iv"), (BERT, "iii")):
        options = f"--base {base} --phrases {phrases} --out {layouts[phrases]}"
        yield _stage(f"layout-{phrases}", "train_layout", options, layouts[phrases])
        options = f"--phrases {phrases} --layout {layouts[phrases]}"
        yield adapter(name, "train_controlnet", options, ships=ADAPTERS)
    yield adapter("ii", "train_lora", f"--structure-clip {knowledge}", ships=LORAS)


def _stage(name: str, script: str, options: str, made: Path, ships: Path | None = None) -> Stage:
    return Stage(name, script, tuple(options.split()), made, ships)


def main(config: Config) -> None:
    todo = stages(config.folder)
    names = [stage.name for stage in todo]
    if config.until is not None and config.until not in names:
        raise UsageError(f"there is no stage {config.until!r}; write --until {' or '.join(names)}")
    for stage in todo:
        if config.show:
            print(" ".join(stage.command(config.folder)))
        elif not is_done(stage, config.folder):
            make(stage, config.folder)
        if stage.name == config.until:
            return
    if not config.show:
        ship(todo, config.folder / sg_mini.CHECKPOINT)


def is_done(stage: Stage, folder: Path) -> bool:
    """Whether a stage has run to its end; raises `UsageError` if it was with other options."""
    note = folder / f"{stage.name}.done"
    if not note.exists() or not stage.made.exists():
        return False
    if json.loads(note.read_text("utf-8")) != list(stage.options):
        raise UsageError(f"the stage {stage.name} was made with other options; delete {note} and {folder / stage.name}")
    return True


def make(stage: Stage, folder: Path) -> None:
    """Runs a stage's script and notes that it is done; raises `UsageError` if it fails."""
    print(f"— {stage.name} —", flush=True)
    code = subprocess.run(stage.command(folder)).returncode
    if code:
        raise UsageError(f"the stage {stage.name} stopped ({code}); the same command goes on with it")
    with whole_file(folder / f"{stage.name}.done") as file:
        file.write_text(json.dumps(stage.options), "utf-8")


def ship(done: list[Stage], base: Path) -> None:
    """Copies what ships into models/, now that all of it is made, and notes what it is there."""
    for path, folder in [(base, CHECKPOINTS), *((stage.made, stage.ships) for stage in done if stage.ships)]:
        place = folder / path.name
        with whole_file(place) as file:
            shutil.copyfile(path, file)
        print(place)
    with whole_file(MODELS / SUMS) as file:
        file.write_text(sums(MODELS), "utf-8")


def sums(folder: Path) -> str:
    """The SHA-256 of every file of weights below a folder, as `sha256sum --check` reads them."""
    paths = sorted(folder.rglob("*.safetensors"))
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder).as_posix()}\n" for path in paths
    )


if __name__ == "__main__":
    run(main, Config)
