"""`make weights`: the stages in their order, what is passed over, and what ships at the end."""

import hashlib
import sys
from pathlib import Path

import pytest

from train import make_weights
from train.bases.model_folders import MODELS
from train.make_weights import Config, Stage, is_done, main, stages
from train.running.command_line import UsageError


@pytest.fixture
def two_stages(tmp_path: Path, monkeypatch) -> list[Stage]:
    """Real subprocesses of a small script, which fails once if told so."""
    script = tmp_path / "copy.py"
    script.write_text(
        "import sys, pathlib\n"
        "source, out, flag = sys.argv[1:4]\n"
        "if pathlib.Path(flag).exists(): sys.exit(3)\n"
        "pathlib.Path(out).write_text(pathlib.Path(source).read_text() + 'x')\n"
    )
    (tmp_path / "a").write_text("")
    monkeypatch.setattr(make_weights, "SCRIPTS", tmp_path)
    a, b, c, flag = (tmp_path / name for name in ("a", "b", "c", "fail"))
    made = [
        Stage("one", "copy", (str(a), str(b), str(tmp_path / "never")), b),
        Stage("two", "copy", (str(b), str(c), str(flag)), c, ships=tmp_path / "models"),
    ]
    monkeypatch.setattr(make_weights, "stages", lambda folder: made)
    for folder in ("CHECKPOINTS", "MODELS"):
        monkeypatch.setattr(make_weights, folder, tmp_path / "models")
    return made


def test_each_stage_uses_only_what_those_before_it_made(tmp_path: Path):
    made: set[Path] = set()
    for stage in stages(tmp_path):
        used = {Path(option) for option in stage.options if option.startswith(str(tmp_path))} - {stage.made}
        assert used <= made | {tmp_path / "tower.safetensors"}, stage.name
        made.add(stage.made)


def test_every_weight_that_ships_is_made(tmp_path: Path):
    shipped = {path.relative_to(MODELS) for path in MODELS.rglob("*.safetensors")}
    made = {(stage.ships / stage.made.name).relative_to(MODELS) for stage in stages(tmp_path) if stage.ships}
    # the prior of arrangements is trained on annotations that have to be fetched first: train/train_arrange.py
    assert made | {Path("checkpoints/sg_mini.safetensors"), Path("arrange/layout-prior.safetensors")} == shipped


def test_options_are_those_of_the_scripts(tmp_path: Path):
    for stage in stages(tmp_path):
        script = (Path(make_weights.__file__).parent / f"{stage.script}.py").read_text("utf-8")
        assert "Config" in script
        command = stage.command(tmp_path)
        assert command[0] == sys.executable and command[-1] == str(tmp_path / stage.name)


def test_it_goes_on_after_a_failure_and_ships_at_the_end_alone(two_stages: list[Stage], tmp_path: Path):
    runs, config = tmp_path / "runs", Config(folder=tmp_path / "runs")
    (tmp_path / "fail").touch()
    with pytest.raises(UsageError, match="the stage two stopped \\(3\\)"):
        main(config)
    assert is_done(two_stages[0], runs) and not is_done(two_stages[1], runs) and not (tmp_path / "models").exists()
    (tmp_path / "fail").unlink()
    (tmp_path / "a").write_text("changed")  # what is done is not done again
    (runs / "sg_mini.safetensors").write_text("base")
    main(config)
    assert (tmp_path / "models" / "c").read_text() == "xx"
    assert (tmp_path / "models" / "sg_mini.safetensors").read_text() == "base"
    digest = hashlib.sha256(b"base").hexdigest()
    assert (tmp_path / "models" / "SHA256SUMS").read_text() == f"{digest}  sg_mini.safetensors\n"


def test_until_leaves_early_and_other_options_are_refused(two_stages: list[Stage], tmp_path: Path):
    main(Config(folder=tmp_path / "runs", until="one"))
    assert not (tmp_path / "c").exists()
    other = Stage("one", "copy", ("other",), two_stages[0].made)
    with pytest.raises(UsageError, match="made with other options"):
        is_done(other, tmp_path / "runs")
    with pytest.raises(UsageError, match="write --until one or two"):
        main(Config(folder=tmp_path / "runs", until="three"))
