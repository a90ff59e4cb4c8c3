"""What `train/measure_regions.py` writes."""

from pathlib import Path

import pytest

from train.measure_regions import Config, main
from train.running.command_line import UsageError


def test_a_row_for_the_caption_and_each_way_of_regions(tmp_path: Path):
    page = tmp_path / "results.md"
    page.write_text("# Results\n", "utf-8")
    main(Config(graphs=2, base_weights=(0.3,), ends=(1.0,), steps=1, batch_size=2, docs=tmp_path))
    text = page.read_text("utf-8")
    assert text.startswith("# Results\n") and "train/measure_regions.py --graphs 2" in text
    rows = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    ways = [f"{boxes} boxes, base weight 0.3, end 1.0" for boxes in ("true", "predicted")]
    assert rows[1:] == ["caption alone", *ways]


def test_a_variant_without_boxes_is_refused_in_words(tmp_path: Path):
    with pytest.raises(UsageError, match="predicts no boxes"):
        main(Config(graphs=2, predictor="i", docs=tmp_path))
