"""The cases of `bench_tokenizer`, each run in a process of its own: `python -m benchmarks.tokenizer_cases '{"kind": ...}'` prints JSON.

Times are the best of the repeats, in processor seconds (a busy machine disturbs them less) and on the clock; all runners of one case take
turns in one process. Memory is the peak of resident memory over what the loaded model takes, one runner a process.
"""

import contextlib
import ctypes
import gc
import io
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.published_btb3d import published_entropies, published_tokenizer
from tokenizers3d import causal
from tokenizers3d.btb3d import published_name
from tokenizers3d.quantizers import LFQ
from tokenizers3d.tokenizer import Tokenizer
from tokenizers3d.types import TokenGrid

Case = dict[str, Any]


def main() -> None:
    case = json.loads(sys.argv[1])
    torch.set_num_threads(case.get("threads", 1))
    print(json.dumps(CASES[case["kind"]](case)))


# --- measuring -------------------------------------------------------------------------------------------------------------------


def peak_mb(work: Callable[[], Any]) -> float:
    """MB of resident memory at the peak over before; the first run is for what libraries set up once."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what loading freed would hide what the work takes
    before = _resident("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    work()
    return _resident("VmHWM") - before


def _resident(field: str) -> float:
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(field):
                return int(line.split()[1]) / 1024
    return math.nan


def timed(runners: dict[str, Callable[[], Any]], repeats: int) -> dict[str, dict[str, float]]:
    """Best times of several that take turns, so that all meet the same machine."""
    best = {name: {"cpu_seconds": math.inf, "seconds": math.inf} for name in runners}
    for _ in range(repeats):
        for name, work in runners.items():
            start, used = time.perf_counter(), time.process_time()
            work()
            found = {"cpu_seconds": time.process_time() - used, "seconds": time.perf_counter() - start}
            best[name] = {key: min(best[name][key], found[key]) for key in found}
    return best


def conv_peak(dtype: torch.dtype) -> float:
    """GFLOP per processor second of one conv3d that suits the machine: what it can do at best."""
    x = torch.randn(1, 384, 6, 16, 16, dtype=dtype).to(memory_format=torch.channels_last_3d)
    weight = torch.randn(384, 384, 3, 3, 3, dtype=dtype).to(memory_format=torch.channels_last_3d)
    best = timed({"": lambda: F.conv3d(x, weight, padding=(0, 1, 1))}, 8)[""]["cpu_seconds"]
    return 2 * weight.numel() * 4 * 16 * 16 / best / 1e9


@contextlib.contextmanager
def counting(module: torch.nn.Module | None) -> Iterator[list[float]]:
    """Arithmetic of all convolutions that run, in GFLOP: those of ours, or those of a published module."""
    total, plain = [0.0], causal.convolve

    def count(weight: torch.Tensor, output: torch.Tensor) -> None:
        total[0] += 2e-9 * weight.numel() * output.numel() / output.shape[1]

    def convolve(x: torch.Tensor, weight: torch.Tensor, *rest: Any) -> torch.Tensor:
        output = plain(x, weight, *rest)
        count(weight, output)
        return output

    layers = [] if module is None else [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv3d)]
    hooks = [layer.register_forward_hook(lambda layer, _, output: count(layer.weight, output)) for layer in layers]
    causal.convolve = convolve
    try:
        yield total
    finally:
        causal.convolve = plain
        for hook in hooks:
            hook.remove()


# --- models ----------------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _unset_weights() -> Iterator[None]:
    """Layers without their random weights, which take seconds to draw and are replaced anyway."""
    plain = torch.nn.Conv3d.reset_parameters
    torch.nn.Conv3d.reset_parameters = lambda self: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.nn.Conv3d.reset_parameters = plain  # type: ignore[method-assign]


def our_tokenizer(case: Case, dtype: torch.dtype) -> Tokenizer:
    """A tokenizer of the published sizes (or a narrower one) with seeded weights, none of them zero."""
    from tokenizers3d.config import TokenizerConfig

    with _unset_weights():
        tokenizer = Tokenizer(TokenizerConfig(name="bench", quantizer_args={"num_bits": 18}, **case["model"]))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in tokenizer.named_parameters():
            if parameter.dim() > 1:
                bound = (3 / parameter[0].numel()) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
            elif name.endswith("bias"):
                parameter.zero_()
    return tokenizer.to(dtype)


def volume_of(num_slices: int, size: int, seed: int = 3) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 4, 6, 6)).astype(np.float32))
    fine = torch.from_numpy(rng.standard_normal((1, 1, num_slices, size, size), dtype=np.float32))
    return (F.interpolate(coarse, (num_slices, size, size), mode="trilinear") * 0.5 + fine * 0.1).clamp(-1, 1)


def _runners(case: Case, names: list[str]) -> tuple[dict[str, Callable[[int], Any]], torch.nn.Module | None]:
    """For each name a function of the number of slices that encodes or decodes and gives codes or voxels."""
    dtype = getattr(torch, case["dtype"])
    tokenizer, module = our_tokenizer(case, dtype), None
    if "published" in names:
        state = {published_name(name): tensor.clone() for name, tensor in tokenizer.state_dict().items()}
        with _unset_weights():
            module = published_tokenizer(state, **case["model"]).to(dtype)
        if names == ["published"]:
            del tokenizer, state
    x = volume_of(case["slices"], case["size"])
    shape = ((case["slices"] + 7) // 8, case["size"] // 8, case["size"] // 8)
    codes = torch.randint(0, 2**18, (1, *shape), dtype=torch.int32, generator=torch.Generator().manual_seed(1))

    def grid_of(num_slices: int, mode: str = "stream") -> TokenGrid:
        return TokenGrid(codes[:, : (num_slices + 7) // 8], None, 18, (8, 8, 8), (num_slices, case["size"], case["size"]), mode=mode)

    def published(num_slices: int) -> torch.Tensor:
        with contextlib.redirect_stdout(io.StringIO()):
            if case["what"] == "encode":
                return module.encode(x[:, :, :num_slices].to(dtype))[1].indices
            return module.decode(grid_of(num_slices).vectors().to(dtype))

    def ours(mode: str) -> Callable[[int], Any]:
        if case["what"] == "encode":
            return lambda num_slices: tokenizer.encode(x[:, :, :num_slices], mode).codes
        return lambda num_slices: tokenizer.decode(grid_of(num_slices), any_mode=True)

    return {name: published if name == "published" else ours(name) for name in names}, module


def time_case(case: Case) -> dict[str, Any]:
    """All runners in turn, the arithmetic that each does, and whether the codes are the published ones."""
    runners, module = _runners(case, case["runners"])
    results: dict[str, torch.Tensor] = {}
    gflop: dict[str, float] = {}

    def work(name: str) -> None:
        with counting(module if name == "published" else None) as total:
            results[name] = runners[name](case["slices"])
        gflop[name] = total[0]

    with torch.no_grad():
        for run in runners.values():
            run(9)
        times = timed({name: lambda name=name: work(name) for name in runners}, case["repeats"])
    found: dict[str, Any] = {name: {**numbers, "gflop": gflop[name]} for name, numbers in times.items()}
    found["conv_gflops"] = conv_peak(getattr(torch, case["dtype"]))
    if case["what"] == "encode" and "published" in results:
        differing = results["published"].flatten() != results["windowed"].flatten()
        found["codes_that_differ"] = [int(differing.sum()), differing.numel()]
    return found


def memory_case(case: Case) -> dict[str, float]:
    """Peak of one runner, after a short run."""
    run = _runners(case, [case["runner"]])[0][case["runner"]]
    with torch.no_grad():
        run(9)
        return {"peak_mb": peak_mb(lambda: run(case["slices"]))}


# --- streams, entropy, tiles -----------------------------------------------------------------------------------------------------


def long_case(case: Case) -> dict[str, float]:
    """A volume that is made slab by slab, so that nothing of it is kept, through the streaming encoder."""
    tokenizer = our_tokenizer(case, getattr(torch, case["dtype"]))

    def slabs(num_slices: int) -> Iterator[torch.Tensor]:
        return (volume_of(min(8, num_slices - z), case["size"], seed=z) for z in range(0, num_slices, 8))

    tokenizer.encode_stream(slabs(33))
    used = time.process_time()
    peak = peak_mb(lambda: tokenizer.encode_stream(slabs(case["slices"])))
    return {"peak_mb": peak, "cpu_seconds": time.process_time() - used}


def all_codes(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The published form written out, for where its code is not at hand: a softmax over every code of every token."""
    num_bits = x.shape[-1]
    codes = torch.arange(2**num_bits)
    codebook = ((codes[:, None] >> torch.arange(num_bits - 1, -1, -1)) & 1).to(x.dtype) * 2 - 1
    logits = 200 * x @ codebook.T
    mean = logits.softmax(-1).mean(0)
    return -(logits.softmax(-1) * logits.log_softmax(-1)).sum(-1).mean(), -(mean * (mean + 1e-5).log()).sum()


def _reference(case: Case, dtype: torch.dtype, num_bits: int) -> Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    return published_entropies(num_bits, dtype) if case["has_published"] else all_codes


def entropy_case(case: Case) -> dict[str, float]:
    """Forward and backward of both entropy terms on float32 latents."""
    x = (torch.randn(case["tokens"], case["bits"], generator=torch.Generator().manual_seed(0)) * 0.01).requires_grad_()
    ours = LFQ(case["bits"])
    terms = (lambda y: ours.entropies(y, eps=1e-5)) if case["runner"] == "ours" else _reference(case, torch.float32, case["bits"])

    def work(tokens: int = case["tokens"]) -> None:
        x.grad = None
        per_sample, batch = terms(x[:tokens])
        (per_sample - batch).backward()

    work(8)
    return {"peak_mb": peak_mb(work), **timed({"": work}, case["repeats"])[""]}


def exact_case(case: Case) -> dict[str, float]:
    """Largest differences to the published function: float64 at all bits, and float32 at 10 bits relative to float64."""
    x = (torch.randn(case["tokens"], case["bits"], generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.01).requires_grad_()
    gradients, values = [], []
    for terms in (lambda y: LFQ(case["bits"]).entropies(y, eps=1e-5), _reference(case, torch.float64, case["bits"])):
        per_sample, batch = terms(x)
        gradients.append(torch.autograd.grad(per_sample - batch, x)[0])
        values.append((per_sample.item(), batch.item()))
    wide = torch.randn(20_000, 10, generator=torch.Generator().manual_seed(2)) * 0.01
    ten, true = LFQ(10).entropies(wide, eps=1e-5), _reference(case, torch.float64, 10)(wide.double())
    return {
        "value": max(abs(a - b) for a, b in zip(*values, strict=True)),
        "gradient": (gradients[0] - gradients[1]).abs().max().item(),
        "ten_bits": max(abs(a.double() - b).item() / b.item() for a, b in zip(ten, true, strict=True)),
    }


def tiles_case(case: Case) -> dict[str, Any]:
    """What in-plane tiles change, for the small tokenizer that ships."""
    from dataclasses import asdict
    from importlib.resources import files

    from tokenizers3d.tiles import TileSpec, compare_tiled

    tokenizer = Tokenizer.load(Path(str(files("vol3d"))) / "assets" / "tokenizer_small_8x8x8.safetensors")
    x = volume_of(case["slices"], case["size"])
    tile = case["size"] // 16
    return {str(halo): asdict(compare_tiled(tokenizer, x, TileSpec(tile=(tile, tile), halo=halo))) for halo in case["halos"]}


CASES: dict[str, Callable[[Case], dict[str, Any]]] = {
    "time": time_case,
    "memory": memory_case,
    "long": long_case,
    "entropy": entropy_case,
    "exact": exact_case,
    "tiles": tiles_case,
}

if __name__ == "__main__":
    main()
