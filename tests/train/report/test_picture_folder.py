"""Pictures on disk: what is kept is found again, as it was; what is not there or not clear is said in words."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from train.report.picture_folder import (
    PictureFolder,
    found_variants,
    picture_name,
    read_report,
    variant_folder,
    write_report,
)
from train.running.command_line import UsageError

PICTURE = np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)


def test_pictures_come_back_without_loss(tmp_path: Path):
    folder = PictureFolder(tmp_path / "held-out" / "vi")
    folder.write(3, 0, PICTURE)
    folder.write(3, 1, 255 - PICTURE)
    again = PictureFolder(tmp_path / "held-out" / "vi")
    ((first, second),) = again.read([3], 2)
    assert np.array_equal(first, PICTURE) and np.array_equal(second, 255 - PICTURE)
    assert again.has([3], 2) and not again.has([3], 3) and not again.has([3, 4], 1)
    assert [path.name for path in sorted(folder.folder.iterdir())] == ["000003-0.png", "000003-1.png"]


def test_pictures_of_others_need_a_number_for_a_name(tmp_path: Path):
    Image.fromarray(PICTURE).save(tmp_path / "7.jpg")
    (tmp_path / "notes.txt").write_text("of graph 7")
    ((picture,),) = PictureFolder(tmp_path).read([7], 1)
    assert picture.shape == (8, 12, 3)
    assert found_variants(tmp_path, "test") == {tmp_path.name: tmp_path}


def test_missing_broken_and_double_pictures_are_errors_in_words(tmp_path: Path):
    with pytest.raises(UsageError, match="there is no picture 000002-1.png in .*sample 1 of graph 2"):
        PictureFolder(tmp_path)._picture(2, 1)
    (tmp_path / "2-1.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match="2-1.png cannot be read"):
        PictureFolder(tmp_path)._picture(2, 1)
    (tmp_path / "000002-1.png").write_bytes(b"another")
    with pytest.raises(UsageError, match="are the same picture"):
        PictureFolder(tmp_path)


def test_folders_of_variants_are_found_by_split(tmp_path: Path):
    for variant in ("i", "runs/my-adapter.safetensors"):
        PictureFolder(variant_folder(tmp_path, "test", variant)).write(0, 0, PICTURE)
    assert list(found_variants(tmp_path, "test")) == ["i", "my-adapter"]
    with pytest.raises(UsageError, match=f"no pictures of the split 'val' in .*{picture_name(12, 0, '.png')}"):
        found_variants(tmp_path, "val")
    with pytest.raises(UsageError, match="there is no folder .*nowhere"):
        found_variants(tmp_path / "nowhere", "val")


def test_pictures_of_other_settings_are_not_gone_on_with(tmp_path: Path):
    assert read_report(tmp_path) is None
    write_report(tmp_path, {"steps": 25, "base": "sg-mini"})
    write_report(tmp_path, {"steps": 25, "base": "sg-mini"})
    with pytest.raises(UsageError, match="drawn with another steps; name another folder"):
        write_report(tmp_path, {"steps": 8, "base": "sg-mini"})
    assert read_report(tmp_path) == {"steps": 25, "base": "sg-mini"}
