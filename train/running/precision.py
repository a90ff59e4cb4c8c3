"""Which precision to compute in: bfloat16 where the device has instructions for it, float32 elsewhere.

A CPU without them emulates it: on one with AVX2 alone (Zen 3) SG-Mini draws 16 times slower in it than in float32.
"""

from contextlib import AbstractContextManager, nullcontext

import torch
from accelerate import PartialState
from accelerate.utils import is_bf16_available
from torch import nn

AUTO = "auto"
CPU_INSTRUCTIONS = ("avx512_bf16", "amx_bf16", "bf16")  # of x86-64, x86-64 and Arm, as torch names them
NAMES = {"no": "float32", "fp16": "float16", "bf16": "bfloat16"}  # by accelerate's words
DTYPES: dict[str, torch.dtype] = {word: getattr(torch, name) for word, name in NAMES.items()}


def resolve(precision: str) -> str:
    """`no`, `fp16` or `bf16`; what serves this process's device best for `auto`."""
    if precision != AUTO:
        return precision
    return "bf16" if has_bfloat16(PartialState().device) else "no"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device has instructions for bfloat16."""
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        return any(capabilities.get(name, False) for name in CPU_INSTRUCTIONS)
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return is_bf16_available()


def autocast(device: torch.device, precision: str) -> AbstractContextManager:
    """PyTorch's autocast in a precision, `auto` among them; it changes nothing for float32."""
    name = resolve(precision)
    if name == "no":
        return nullcontext()
    return torch.autocast(device.type, DTYPES[name])


def keep_frozen_in(module: nn.Module, precision: str) -> None:
    """Converts what is frozen of a module to a precision, `auto` among them, in place.

    Autocast does so in every step otherwise, and keeps the copies beside the weights until the backward pass is done.
    Whatever starts from the same weights and is trained must have been made before.
    """
    dtype = DTYPES[resolve(precision)]
    for parameter in module.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
