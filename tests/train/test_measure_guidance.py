"""The measurement of guidance: a few pictures of every row, a page of them, and nothing measured twice."""

from pathlib import Path

import pytest
import torch

from sg_models.files.safetensors_file import write_weights
from sg_models.layers.picture_tower import PictureTower
from train import measure_guidance
from train.measure_guidance import Config, main, rows
from train.running.command_line import UsageError


@pytest.fixture
def few(tmp_path: Path) -> Config:
    torch.manual_seed(1)
    write_weights(tmp_path / "judge.safetensors", PictureTower(128).state_dict(), {})
    counts = {"texts": 2, "per_text": 2, "references": 2, "among": 21, "graphs": 2, "steps": 1, "batch_size": 4}
    return Config(
        **counts, eyes=("noised",), judge=tmp_path / "judge.safetensors", run_dir=tmp_path / "run", docs=tmp_path
    )


def test_writes_the_page_and_goes_on_where_it_was_stopped(few: Config, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(measure_guidance, "TRUE", 24)
    measured, measure = [], measure_guidance.measure
    monkeypatch.setattr(measure_guidance, "measure", lambda *given: measured.append(given[1]) or measure(*given))
    main(few)
    page = (tmp_path / "guidance.md").read_text("utf-8")
    assert measured == rows(("noised",), "vi") and (tmp_path / "guidance.png").exists()
    assert page.count("\n| ") == 3 + len(measured)
    main(few)
    assert len(measured) == len(rows(("noised",), "vi")) and (tmp_path / "guidance.md").read_text("utf-8") == page


def test_without_a_judge_it_says_how_to_make_one(few: Config, tmp_path: Path):
    few.judge = tmp_path / "nowhere.safetensors"
    with pytest.raises(UsageError, match="make it as the beginning of this script says"):
        main(few)
