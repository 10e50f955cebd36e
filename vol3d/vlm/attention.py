"""Packed attention by name, through transformers' own registry: the model code stays Hugging Face's.

name               where             how
sdpa               everywhere        one dense block mask
span_loop          everywhere        SDPA per run of tokens
flex               CUDA              flex_attention under a BlockMask
varlen             CUDA, half        torch.nn.attention.varlen
flash_attention_2  CUDA, half        flash-attn's varlen kernel (extra `flash`)
xformers           CUDA              block-diagonal causal bias (extra `flash`)

All give the same rows. Ragged kernels cannot say "one prefix, many branches", so they repeat the prefix's keys and values for
every branch (vol3d.vlm.attention_spans). The CUDA ones are planned from the same tensors as the others.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from vol3d.errors import ConfigError, MissingExtraError
from vol3d.extras import pip_command
from vol3d.vlm import attention_kernels as kernels
from vol3d.vlm.packing import NO_PARENT, block_mask

logger = logging.getLogger(__name__)

_PREFIX = "vol3d_"


@dataclass(frozen=True)
class Backend:
    """One way to attend: `plan` is None where a dense mask says it all."""

    plan: Callable[..., kernels.Attend] | None
    needs_cuda: bool = False
    needs_half: bool = False
    module: str | None = None


BACKENDS: Mapping[str, Backend] = {
    "sdpa": Backend(None),
    "span_loop": Backend(kernels.span_loop),
    "flex": Backend(kernels.flex, needs_cuda=True),
    "varlen": Backend(kernels.varlen, needs_cuda=True, needs_half=True),
    "flash_attention_2": Backend(kernels.flash_attention_2, needs_cuda=True, needs_half=True, module="flash_attn"),
    "xformers": Backend(kernels.xformers, needs_cuda=True, module="xformers"),
}
_PREFERENCE = {"cuda": ("flash_attention_2", "varlen", "flex", "sdpa"), "cpu": ("span_loop", "sdpa")}


@dataclass(frozen=True)
class Plan:
    """Given to the language model with a packed batch: `mask` as `attention_mask`, the plan itself as `packed_plan`.

    Where `attend` is set, `mask` is empty but 4-D: transformers takes a 4-D mask as it is and builds none of its own.
    """

    mask: Tensor
    attend: kernels.Attend | None = None


def plan(segment_ids: Int[Tensor, "rows n"], parent_ids: Int[Tensor, "rows n"], *, backend: str) -> Plan:
    """Plan one packed batch for a backend. Raises ConfigError for an unknown name."""
    planner = _backend(backend).plan
    if planner is None:
        return Plan(block_mask(segment_ids, parent_ids, segment_ids))
    return Plan(torch.empty(0, 0, 0, 0, device=segment_ids.device), planner(segment_ids, parent_ids))


def resolve(name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """The backend that a name stands for here; `auto` takes the first preferred one that runs and agrees with `sdpa`.

    Raises ConfigError (unknown name, or a kernel that this device or dtype does not have), MissingExtraError.

    >>> resolve("auto", device="cpu")
    'span_loop'
    """
    kind = torch.device(device).type
    if name == "auto":
        return next((b for b in _PREFERENCE.get(kind, ("sdpa",)) if _agrees(b, kind, dtype)), "sdpa")
    backend = _backend(name)
    if backend.needs_cuda and kind != "cuda":
        raise ConfigError(f"attention {name!r} needs a CUDA device", found=kind, hint="Use sdpa, span_loop or auto.")
    if backend.needs_half and dtype not in (torch.float16, torch.bfloat16):
        raise ConfigError(f"attention {name!r} needs half precision", expected="bfloat16 or float16", found=dtype)
    if backend.module and find_spec(backend.module) is None:
        raise MissingExtraError(f"attention {name!r} needs {backend.module}", hint=f"Run: {pip_command('flash')}")
    return name


def _backend(name: str) -> Backend:
    if name not in BACKENDS:
        raise ConfigError("unknown attention", expected=f"auto, {', '.join(BACKENDS)}", found=name)
    return BACKENDS[name]


@cache
def _agrees(name: str, device: str, dtype: torch.dtype) -> bool:
    """Whether a backend runs here, forward and backward, and gives what a dense mask gives; asked once per process."""
    try:
        resolve(name, device=device, dtype=dtype)
        segments = torch.tensor([[0] * 20 + [1] * 7 + [2] * 5], device=device)
        parents = torch.tensor([[NO_PARENT] * 20 + [0] * 12], device=device)
        generator = torch.Generator().manual_seed(0)
        query, key, value = (torch.randn(1, h, 32, 64, generator=generator).to(device, dtype) for h in (4, 2, 2))
        query.requires_grad_()
        packed = plan(segments, parents, backend=name)
        out = _attend(packed, query, key, value, None)
        out.float().sum().backward()
        wanted = _attend(plan(segments, parents, backend="sdpa"), query, key, value, None)
    except (ConfigError, MissingExtraError, ImportError, RuntimeError, TypeError, AttributeError) as error:
        logger.info("attention %s does not work here: %s", name, error)
        return False
    tolerance = 1e-5 if dtype == torch.float32 else 2e-2
    return bool((out - wanted).abs().max() <= tolerance)


def _attend(packed: Plan, query: Tensor, key: Tensor, value: Tensor, scale: float | None) -> Tensor:
    if packed.attend is not None:
        return packed.attend(query, key, value, scale)
    sdpa = torch.nn.functional.scaled_dot_product_attention
    return sdpa(query, key, value, attn_mask=packed.mask, scale=scale, enable_gqa=True).transpose(1, 2)


def register(name: str, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32) -> str:
    """Make a backend known to transformers; returns the name for `attn_implementation`."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    implementation = _PREFIX + resolve(name, device=device, dtype=dtype)
    AttentionInterface.register(implementation, packed_attention)
    # Without a plan the model is an ordinary sdpa model, so it needs ordinary masks.
    AttentionMaskInterface.register(implementation, sdpa_mask)
    return implementation


def backend_of(model: Any) -> str:
    """The backend that a language model was loaded with. Raises ConfigError for a model that was loaded in another way."""
    name = str(model.config._attn_implementation)
    if not name.startswith(_PREFIX):
        raise ConfigError("the language model knows no packed attention", found=name, hint="Load it with load_language_model.")
    return name.removeprefix(_PREFIX)


def packed_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    packed_plan: Plan | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """What transformers calls in every layer: the plan where one was given, else its own SDPA."""
    if packed_plan is not None and packed_plan.attend is not None:
        return packed_plan.attend(query, key, value, scaling), None
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    out, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    return out, None
