"""ComfyUI's attention kernel, in the form in which the library's modules call one."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from comfy.ldm.modules.attention import optimized_attention
from torch import Tensor

_options: ContextVar[dict[str, Any] | None] = ContextVar("attention_options", default=None)


def host_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, mask: Tensor) -> Tensor:
    """`sg_models.gated_attention.Attention` through the kernel that the user chose, with `attention_options`."""
    return optimized_attention(q, k, v, heads, mask=mask, **(_options.get() or {}))


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
