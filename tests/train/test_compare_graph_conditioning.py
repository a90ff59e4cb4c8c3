"""The comparison of graph conditioning: what is trained has a row, and pictures are neither drawn twice nor mixed."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from sg_models.files.safetensors_file import write_weights
from sg_models.layers.picture_tower import PictureTower
from train import compare_graph_conditioning, train_graph_conditioning
from train.compare_graph_conditioning import Bench, Config, main
from train.conditioning import trained_adapter, trained_unet
from train.report import previews
from train.running.command_line import UsageError

DIM = 128
FILE = "graph-conditioning-sg-mini.safetensors"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with (gc) in the place of the shipped one and one adapter of its ablation, two steps trained each."""
    folder = tmp_path_factory.mktemp("trained")
    torch.manual_seed(1)
    for name in ("judge", "tower"):
        write_weights(folder / f"{name}.safetensors", PictureTower(DIM).state_dict(), {})
    config = train_graph_conditioning.Config(
        picture_tower=str(folder / "tower.safetensors"),
        gca=False,
        steps=2,
        batch_size=4,
        queue=28,
        rank=4,
        pictures=8,
        run_dir=folder / "gc",
        latents_dir=folder / "latents",
    )
    draw = previews.draw_graphs
    with pytest.MonkeyPatch.context() as patch:
        for name, place in {"ADAPTERS": folder / "scene_graph", "LORAS": folder / "loras"}.items():
            for module in (trained_adapter, trained_unet, train_graph_conditioning):
                patch.setattr(module, name, place, raising=False)
        patch.setattr(train_graph_conditioning, "VALIDATION_PICTURES", 2)
        patch.setattr(previews, "draw_graphs", lambda *args, **more: draw(*args, **({"steps": 1} | more)))
        AcceleratorState._reset_state(True)
        train_graph_conditioning.main(config)
        AcceleratorState._reset_state(True)
        without = folder / "ablation" / "neither" / FILE
        train_graph_conditioning.main(replace(config, mmd=False, run_dir=folder / "neither", out=without))
        yield folder


@pytest.fixture
def few(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """A comparison of two graphs."""
    monkeypatch.setattr(compare_graph_conditioning, "TRUE", 20)
    return Config(
        graphs=2,
        steps=1,
        ablation=trained / "ablation",
        picture_tower=str(trained / "tower.safetensors"),
        judge=trained / "judge.safetensors",
        run_dir=tmp_path / "run",
        docs=tmp_path,
    )


def test_all_that_is_trained_has_rows_and_pictures_are_drawn_once(
    few: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    drawn = []
    draw = compare_graph_conditioning.draw_graphs
    monkeypatch.setattr(
        compare_graph_conditioning, "draw_graphs", lambda *args, **more: drawn.append(args[2]) or draw(*args, **more)
    )
    main(few)
    page = (tmp_path / "graph_conditioning.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| held-out")]
    assert [row[1] for row in rows] == ["(i) the graph as a caption", "(gc) GCA and MMD, as shipped", "neither"]
    assert "of 2 true pictures the graph's own is nearest to the graph's vector (chance 0.5)" in page
    assert page.count("\n| comp") == 3 and (tmp_path / "graph_conditioning.png").exists()
    assert [row[7] for row in rows][0] == "–" and all(row[7] != "–" for row in rows[1:])  # own picture first
    assert [row[-1] for row in rows] == ["– |", "2 |", "2 |"]  # steps of training
    assert str(few.ablation / "no-gca") in capsys.readouterr().out
    assert len(drawn) == 3 * 2 * 2 and all(thing.box is None for graphs in drawn for g in graphs for thing in g.objects)
    main(few)
    assert len(drawn) == 12 and (tmp_path / "graph_conditioning.md").read_text("utf-8") == page


def test_pictures_of_other_weights_are_not_gone_on_with(few: Config):
    bench, split = Bench(few), Bench(few).data.split("held-out", 2)
    one = bench.pictures(split, "gc", "gc")
    assert one.shape == (2, 2, 128, 128, 3) and (one[:, 0] != one[:, 1]).any()
    with pytest.raises(UsageError, match="drawn with another weights"):
        bench.pictures(split, "gc", str(few.ablation / "neither" / FILE))


def test_one_picture_of_a_graph_has_no_diversity():
    with pytest.raises(UsageError, match="--samples 2"):
        Bench(Config(samples=1))
