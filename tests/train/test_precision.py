"""The precision that a device gets when none is asked for."""

import pytest
import torch

from train.precision import CPU_INSTRUCTIONS, autocast, resolved

PLAIN = {"avx2": True, "avx512_bf16": False, "amx_bf16": False, "l2_cache_size": 524288}
CPU = torch.device("cpu")


@pytest.fixture
def capabilities(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What the processor can do, to be changed by a test."""
    found = dict(PLAIN)
    monkeypatch.setattr("train.precision.PartialState", lambda: type("State", (), {"device": CPU}))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    return found


def test_a_processor_without_the_instructions_gets_float32(capabilities: dict[str, bool]):
    assert resolved("auto") == "no"


@pytest.mark.parametrize("instruction", CPU_INSTRUCTIONS)
def test_a_processor_with_them_gets_bfloat16(capabilities: dict[str, bool], instruction: str):
    capabilities[instruction] = True
    assert resolved("auto") == "bf16"


@pytest.mark.parametrize("precision", ["no", "fp16", "bf16"])
def test_what_is_asked_for_stays(capabilities: dict[str, bool], precision: str):
    assert resolved(precision) == precision


def test_torch_knows_the_names_of_this_processors_instructions():
    """They are torch's own words, which it may change."""
    names = torch.cpu.get_capabilities()
    assert any(name in names for name in CPU_INSTRUCTIONS)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("no", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_autocast_computes_in_it(precision: str, dtype: torch.dtype):
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype
