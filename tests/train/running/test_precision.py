"""The precision that a device gets when none is asked for."""

import pytest
import torch

from train.running.precision import CPU_INSTRUCTIONS, autocast, keep_frozen_in, resolve

PLAIN = {"avx2": True, "avx512_bf16": False, "amx_bf16": False, "l2_cache_size": 524288}
CPU = torch.device("cpu")


@pytest.fixture
def capabilities(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What the processor can do, to be changed by a test."""
    found = dict(PLAIN)
    monkeypatch.setattr("train.running.precision.PartialState", lambda: type("State", (), {"device": CPU}))
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    return found


def test_a_processor_without_the_instructions_gets_float32(capabilities: dict[str, bool]):
    assert resolve("auto") == "no"


@pytest.mark.parametrize("instruction", CPU_INSTRUCTIONS)
def test_a_processor_with_them_gets_bfloat16(capabilities: dict[str, bool], instruction: str):
    capabilities[instruction] = True
    assert resolve("auto") == "bf16"


@pytest.mark.parametrize("precision", ["no", "fp16", "bf16"])
def test_what_is_asked_for_stays(capabilities: dict[str, bool], precision: str):
    assert resolve(precision) == precision


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


def test_a_unet_kept_in_bfloat16_says_what_autocast_makes_of_it(base):
    """And passes the same gradient on; `base` is in float32, as it was loaded."""
    noise = torch.Generator().manual_seed(0)
    noisy, context = torch.randn(2, 4, 16, 16, generator=noise), torch.randn(2, 77, 128, generator=noise)

    def said() -> tuple[torch.Tensor, torch.Tensor]:
        given = context.clone().requires_grad_()
        with autocast(CPU, "bf16"):
            predicted = base.predict(noisy, torch.tensor([10, 900]), given)
        predicted.float().square().mean().backward()
        return predicted.detach().float(), given.grad

    converted, size = said(), sum(p.nbytes for p in base.unet.parameters())
    keep_frozen_in(base.unet, "bf16")
    assert sum(p.nbytes for p in base.unet.parameters()) == size / 2
    for kept, expected in zip(said(), converted, strict=True):
        assert (kept - expected).norm() < 0.02 * expected.norm()


def test_what_is_trained_is_not_converted():
    layers = torch.nn.ModuleList([torch.nn.Linear(2, 2).requires_grad_(False), torch.nn.Linear(2, 2)])
    keep_frozen_in(layers, "bf16")
    assert [p.dtype for p in layers.parameters()] == [torch.bfloat16] * 2 + [torch.float32] * 2
