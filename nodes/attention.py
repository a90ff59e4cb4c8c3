"""ComfyUI's attention kernel, in the form in which the library's modules call one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from comfy.cli_args import args
from comfy.ldm.modules.attention import attention_pytorch, attention_sub_quad, optimized_attention
from torch import Tensor

_options: ContextVar[dict[str, Any] | None] = ContextVar("attention_options", default=None)


def host_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor | None) -> Tensor:
    """`sg_models.layers.gated_attention.Attention` through ComfyUI's kernel, with `attention_options`."""
    return kernel(q.device)(q, k, v, heads, mask=mask, **(_options.get() or {}))


def kernel(device: torch.device) -> Any:
    """The attention that ComfyUI runs on, but PyTorch's where that is merely its default for the CPU.

    The default there, sub-quadratic attention, copies the mask for every head: at 64 × 64 positions, eight rows and
    five heads a layer took 10.6 s with it and 2.6 s with PyTorch's, on two cores.
    """
    if device.type == "cpu" and optimized_attention is attention_sub_quad and not args.use_quad_cross_attention:
        return attention_pytorch
    return optimized_attention


@contextmanager
def attention_options(**options: Any) -> Iterator[None]:
    """Inside the block, `host_attention` passes these to the kernel: `attn_precision`, `transformer_options`.

    They differ between UNet blocks, and the modules in between are the library's, which knows no host.
    """
    token = _options.set(options)
    try:
        yield
    finally:
        _options.reset(token)
