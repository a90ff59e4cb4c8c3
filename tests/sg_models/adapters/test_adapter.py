"""Adapter files: what is written is what is read, and everything else is refused in words."""

import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sg_models.adapters.adapter import Adapter, AdapterError, read_adapter, write_adapter
from sg_models.files import safetensors_file, whole_file

STATE = {"graph_encoder.w": torch.rand(2, 3).half(), "grounding.null_token": torch.rand(4)}


def adapter(**changes) -> Adapter:
    fields = {
        "kind": "gsa",
        "base": "sg-mini",
        "prediction_type": "epsilon",
        "phrase_encoder": "clip",
        "config": {"tokens": 24, "blocks": {"middle_block.1": {"width": 128, "heads": 4}}},
        "dataset": "shapes",
        "steps": 5000,
        "state_dict": STATE,
    }
    return Adapter(**(fields | changes))


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return file.metadata()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file, to be spoiled."""
    path = tmp_path / "vi.safetensors"
    write_adapter(path, adapter())
    return path


def rewrite(path: Path, changes: dict[str, str | None]) -> None:
    metadata = {k: v for k, v in (header(path) | changes).items() if v is not None}
    save_file(STATE, path, metadata)


def refusal(path: Path) -> str:
    with pytest.raises(AdapterError) as caught:
        read_adapter(path)
    text = str(caught.value)
    assert path.name in text and "\n" not in text
    return text


def test_round_trip(path: Path):
    read, written = read_adapter(path), adapter()
    assert read.name == path.name
    for field in ("kind", "base", "prediction_type", "phrase_encoder", "config", "dataset", "steps"):
        assert getattr(read, field) == getattr(written, field)
    assert read.state_dict.keys() == STATE.keys()
    assert all(torch.equal(read.state_dict[k], v) and read.state_dict[k].dtype == v.dtype for k, v in STATE.items())


def test_a_path_may_be_text(path: Path):
    assert read_adapter(str(path)).steps == 5000  # type: ignore[arg-type]


def test_the_header_is_the_contract(path: Path):
    found = header(path)
    assert {k for k in found if k.startswith("scene_graph.")} == {
        f"scene_graph.{field}"
        for field in ("format", "kind", "base", "prediction_type", "phrase_encoder", "config", "dataset", "steps")
    }
    assert json.loads(found["scene_graph.config"]) == adapter().config
    assert found["modelspec.sai_model_spec"] == "1.0.0"
    assert found["modelspec.title"] == "vi"
    assert found["modelspec.prediction_type"] == "epsilon"


@pytest.mark.parametrize(
    ("base", "prediction_type", "architecture", "spec"),
    [
        ("sg-mini", "epsilon", "sg-mini", "epsilon"),
        ("sd21-base", "epsilon", "stable-diffusion-v2-512", "epsilon"),
        ("sd21", "v_prediction", "stable-diffusion-v2-768-v", "v"),
    ],
)
def test_model_spec_names_the_architecture(base, prediction_type, architecture, spec, tmp_path: Path):
    path = tmp_path / "a.safetensors"
    write_adapter(path, adapter(base=base, prediction_type=prediction_type))
    assert header(path)["modelspec.architecture"] == architecture
    assert header(path)["modelspec.prediction_type"] == spec


def test_a_missing_file(tmp_path: Path):
    assert "no file" in refusal(tmp_path / "none.safetensors")


def test_a_folder(tmp_path: Path):
    (tmp_path / "folder.safetensors").mkdir()
    assert "no file" in refusal(tmp_path / "folder.safetensors")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x80\x04pickle", b"\xff" * 100])
def test_no_safetensors_at_all(content: bytes, path: Path):
    path.write_bytes(content)
    assert "not a readable .safetensors file" in refusal(path)


@pytest.mark.parametrize("kept", [7, 60, 0.5, -1])
def test_a_file_that_was_cut_short(kept: float, path: Path):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept) if isinstance(kept, float) else kept])
    assert "cut short" in refusal(path)


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}, {"modelspec.title": "a LoRA"}])
def test_somebody_elses_weights(metadata, path: Path):
    save_file(STATE, path, metadata)
    assert "not a scene-graph adapter" in refusal(path)


@pytest.mark.parametrize("field", ["kind", "base", "prediction_type", "phrase_encoder", "config", "dataset", "steps"])
def test_a_header_that_lacks_a_field(field: str, path: Path):
    rewrite(path, {f"scene_graph.{field}": None})
    assert f"scene_graph.{field}" in refusal(path)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("format", "2", "format 2"),
        ("format", "", "format"),
        ("base", "sdxl", "unknown base sdxl"),
        ("steps", "many", "'many'"),
        ("steps", "-1", "'-1'"),
        ("steps", "1.5", "'1.5'"),
        ("steps", "", "scene_graph.steps"),
        ("steps", "²", "scene_graph.steps"),  # a digit to str.isdigit, but no number to int
        ("steps", "9" * 5000, "scene_graph.steps"),  # more digits than int reads
        ("config", "", "scene_graph.config"),
        ("config", "{", "scene_graph.config"),
        ("config", "[]", "scene_graph.config"),
        ("config", "null", "scene_graph.config"),
        ("config", "[" * 100_000, "scene_graph.config"),  # deeper than json reads
    ],
    ids=lambda value: value[:12],
)
def test_a_bad_value_in_the_header(field: str, value: str, said: str, path: Path):
    rewrite(path, {f"scene_graph.{field}": value})
    assert said in refusal(path)


@pytest.mark.parametrize("part", ["os.replace", "save_file"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(part: str, path: Path, monkeypatch):
    def fail(*given, **_):
        if part == "save_file":
            Path(given[1]).write_bytes(b"half")
        raise OSError("disk full")

    before = path.read_bytes()
    monkeypatch.setattr(whole_file.os if part == "os.replace" else safetensors_file, part.split(".")[-1], fail)
    with pytest.raises(OSError, match="disk full"):
        write_adapter(path, adapter(steps=1))
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    assert path.read_bytes() == before


def test_a_config_that_is_no_json_is_not_written(tmp_path: Path):
    with pytest.raises(TypeError):
        write_adapter(tmp_path / "a.safetensors", adapter(config={"a": object()}))
    assert list(tmp_path.iterdir()) == []


def test_check_base_accepts_its_own(path: Path):
    read_adapter(path).check_base("sg-mini", "epsilon")


def test_check_base_says_both_sides():
    trained = adapter(base="sd21-base", name="vi.safetensors")
    with pytest.raises(AdapterError) as caught:
        trained.check_base("sd21", "v_prediction")
    assert str(caught.value) == (
        "vi.safetensors was trained on SD 2.1-base 512 (epsilon); the loaded model is SD 2.1 768 (v_prediction)"
    )


@pytest.mark.parametrize(("base", "prediction"), [("sd21", "epsilon"), ("sg-mini", "v_prediction"), ("Flux", "flow")])
def test_check_base_refuses_either_difference(base: str, prediction: str):
    with pytest.raises(AdapterError, match="vi.safetensors was trained on SG-Mini"):
        adapter(name="vi.safetensors").check_base(base, prediction)


def test_check_kind():
    adapter().check_kind("gsa")
    with pytest.raises(AdapterError) as caught:
        adapter(name="vi.safetensors").check_kind("controlnet")
    assert all(word in str(caught.value) for word in ("vi.safetensors", "gsa", "controlnet"))
