"""Speed, memory and exactness of the tokenizer, as ratios taken in one run. `make bench-tokenizer`.

    python -m benchmarks.bench_tokenizer --slices 33 65 --dtypes float32
    VOL3D_BTB3D=/path/to/BTB3D/encoder-decoder python -m benchmarks.bench_tokenizer    # beside the published code, same weights

Each case runs in a fresh process: best time of the repeats, and the peak of resident memory over what the loaded model takes.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

CONFIG = "btb3d_8x8x8"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--slices", type=int, nargs="+", default=[33, 65, 129])
    parser.add_argument("--size", type=int, default=128, help="rows and columns")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--parts", nargs="+", default=["peak", "codec", "entropy", "long", "tiles"], help="what to run")
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.case:
        case = json.loads(args.case)
        print(json.dumps(CASES[case["kind"]](case)))
        return 0
    results: dict[str, Any] = {"threads": args.threads, "torch": torch.__version__, "config": CONFIG}
    print(
        f"{args.threads} threads, torch {torch.__version__}, {CONFIG}, published code: {os.environ.get('VOL3D_BTB3D') or 'not given (VOL3D_BTB3D)'}"
    )
    for part in args.parts:
        results[part] = PARTS[part](args)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    return 0


# --- measuring -------------------------------------------------------------------------------------------------------------------


def measure(work: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Best seconds, best processor seconds (a busy machine disturbs them less), and MB of resident memory at the peak over before."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)  # what loading freed would hide what the work takes
    before = _resident("VmRSS")
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    seconds, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        work()
        seconds.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return {"seconds": min(seconds), "cpu_seconds": min(processor), "peak_mb": _resident("VmHWM") - before}


def _resident(field: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    return math.nan


def in_fresh_process(case: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Time in one process; memory in another, whose freed blocks go back at once, so that its peak is what was needed together."""
    found = _run_case(case, args, {})
    if "peak_mb" in found:
        strict = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0"}
        found["peak_mb"] = _run_case({**case, "repeats": 1, "codes": False}, args, strict).get("peak_mb", math.nan)
    return found


def _run_case(case: dict[str, Any], args: argparse.Namespace, environment: dict[str, str]) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.bench_tokenizer", "--threads", str(args.threads), "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **environment})
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no output"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


# --- models ----------------------------------------------------------------------------------------------------------------------


def our_tokenizer(dtype: torch.dtype) -> Any:
    from tokenizers3d.tokenizer import Tokenizer

    torch.manual_seed(0)
    tokenizer = Tokenizer.from_config(CONFIG)
    for name, parameter in tokenizer.named_parameters():
        if name.endswith("conv2.weight"):
            torch.nn.init.kaiming_uniform_(parameter, a=5**0.5)
    return tokenizer.to(dtype)


def published_module(dtype: torch.dtype) -> Any:
    """The published network with the weights of `our_tokenizer`."""
    from tokenizers3d.btb3d import published_name

    sys.path.insert(0, os.environ["VOL3D_BTB3D"])
    from modeling.magvit_model import VisionTokenizerModule

    side = SimpleNamespace(filters=96, num_res_blocks=4, temporal_downsample=[True, True], channel_multipliers=[1, 2, 4])
    config = SimpleNamespace(model=SimpleNamespace(quantize_model=SimpleNamespace(token_size=18, use_l2_norm=False), encoder=side, decoder=side))
    module = VisionTokenizerModule(config, "video", "lfq", 2**18, 0.25, 1.0).eval()
    state = {published_name(name): tensor for name, tensor in our_tokenizer(torch.float32).state_dict().items()}
    module.load_state_dict({**state, "quantize.mask": 2 ** torch.arange(17, -1, -1)})
    return module.to(dtype)


def volume_of(num_slices: int, size: int) -> torch.Tensor:
    rng = np.random.default_rng(3)
    coarse = torch.from_numpy(rng.standard_normal((1, 1, 4, 6, 6)).astype(np.float32))
    fine = torch.from_numpy(rng.standard_normal((1, 1, num_slices, size, size), dtype=np.float32))
    return (F.interpolate(coarse, (num_slices, size, size), mode="trilinear") * 0.5 + fine * 0.1).clamp(-1, 1)


def codec_case(case: dict[str, Any]) -> dict[str, Any]:
    """Encode or decode, by us (stream or windowed) or by the published code."""
    dtype, x = getattr(torch, case["dtype"]), volume_of(case["slices"], case["size"])
    who, what = case["who"], case["what"]
    if who == "published":
        module, xd = published_module(dtype), x.to(dtype)
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            module.encode(xd[:, :, :9])
            if what == "encode":
                numbers = measure(lambda: module.encode(xd), case["repeats"])
                codes = module.encode(xd)[1].indices if case["codes"] else None
            else:
                vectors = torch.sign(torch.randn(1, 18, (case["slices"] + 7) // 8, case["size"] // 8, case["size"] // 8)).to(dtype)
                numbers, codes = measure(lambda: module.decode(vectors), case["repeats"]), None
    else:
        tokenizer = our_tokenizer(dtype)
        grid = tokenizer.encode(x[:, :, :9], who)
        if what == "encode":
            numbers = measure(lambda: tokenizer.encode(x, who), case["repeats"])
            codes = tokenizer.encode(x, who).codes if case["codes"] else None
        else:
            shape = ((case["slices"] + 7) // 8, case["size"] // 8, case["size"] // 8)
            grid = _grid(tokenizer, torch.randint(0, 2**18, (1, *shape), dtype=torch.int32), case)
            numbers, codes = measure(lambda: tokenizer.decode(grid, any_mode=True), case["repeats"]), None
    return numbers if codes is None else {**numbers, "codes": codes.flatten().tolist()}


def _grid(tokenizer: Any, codes: torch.Tensor, case: dict[str, Any]) -> Any:
    from tokenizers3d.types import TokenGrid

    return TokenGrid(codes, None, 18, tokenizer.stride_vox, (case["slices"], case["size"], case["size"]), mode=case["who"])


# --- parts -----------------------------------------------------------------------------------------------------------------------


def peak(args: argparse.Namespace) -> dict[str, float]:
    """conv3d at the width of the first stage: what this machine can do at best."""
    found = {}
    for name in args.dtypes:
        x = torch.randn(1, 96, 7, 128, 128, dtype=getattr(torch, name)).to(memory_format=torch.channels_last_3d)
        weight = torch.randn(96, 96, 3, 3, 3, dtype=x.dtype).to(memory_format=torch.channels_last_3d)
        numbers = measure(lambda x=x, weight=weight: F.conv3d(x, weight, padding=1), 4)
        found[name] = 2 * 27 * 96 * 96 * 7 * 128 * 128 / numbers["seconds"] / 1e9
        print(f"conv3d 96 to 96, {name}: {found[name]:.0f} GFLOP/s")
    return found


def codec(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Encoding in both modes and decoding, beside the published code where it is."""
    rows, runners = [], ["stream", "windowed"] + (["published"] if os.environ.get("VOL3D_BTB3D") else [])
    for dtype in args.dtypes:
        for num_slices in args.slices:
            for what in ("encode", "decode"):
                case = {"kind": "codec", "dtype": dtype, "slices": num_slices, "size": args.size, "what": what, "repeats": args.repeats}
                compare = what == "encode" and num_slices == args.slices[0]
                found = {
                    who: in_fresh_process({**case, "who": who, "codes": compare}, args)
                    for who in runners
                    if not (what == "decode" and who == "windowed")
                }
                rows.append({**case, **{who: {k: v for k, v in numbers.items() if k != "codes"} for who, numbers in found.items()}})
                _print_codec(rows[-1], found)
    _print_growth(rows)
    return rows


def _print_codec(row: dict[str, Any], found: dict[str, dict[str, Any]]) -> None:
    print(f"{row['what']} {row['slices']}x{row['size']}x{row['size']} {row['dtype']}:")
    published = found.get("published", {})
    for who, numbers in found.items():
        if "failed" in numbers:
            print(f"  {who:9} failed: {numbers['failed']}")
            continue
        ratio = ""
        if who != "published" and "seconds" in published:
            speed = [published[key] / numbers[key] for key in ("seconds", "cpu_seconds")]
            ratio = f": {speed[0]:.2f} times as fast as published ({speed[1]:.2f} in processor time), {numbers['peak_mb'] / published['peak_mb']:.2f} of its memory"
        print(f"  {who:9} {numbers['seconds']:.2f} s, {numbers['peak_mb']:.0f} MB over the model{ratio}")
    if "codes" in published and "codes" in found.get("windowed", {}):
        differing = sum(a != b for a, b in zip(published["codes"], found["windowed"]["codes"], strict=True))
        print(f"  windowed codes that differ from the published: {differing} of {len(published['codes'])}")


def _print_growth(rows: list[dict[str, Any]]) -> None:
    for dtype in dict.fromkeys(row["dtype"] for row in rows):
        for what in ("encode", "decode"):
            own = [row for row in rows if row["dtype"] == dtype and row["what"] == what and "peak_mb" in row["stream"]]
            if len(own) > 1:
                ratio = own[-1]["stream"]["peak_mb"] / own[0]["stream"]["peak_mb"]
                print(f"streaming {what} {dtype}: peak at {own[-1]['slices']} slices over that at {own[0]['slices']}: {ratio:.2f}")


def entropy(args: argparse.Namespace) -> dict[str, Any]:
    """The entropy terms beside the sum over the whole codebook, and at the size of a whole chest CT."""
    small = {who: in_fresh_process({"kind": "entropy", "who": who, "tokens": 1000, "repeats": args.repeats}, args) for who in ("ours", "published")}
    exact = in_fresh_process({"kind": "exact"}, args)
    large = in_fresh_process({"kind": "entropy", "who": "ours", "tokens": 126_976, "repeats": 1}, args)
    ours, theirs = small["ours"], small["published"]
    if "failed" in theirs or "failed" in ours:
        print(f"entropy, 1,000 tokens: {theirs.get('failed') or ours.get('failed')}")
    else:
        print(
            f"entropy, 1,000 tokens, forward and backward: {ours['seconds'] * 1e3:.0f} ms and {ours['peak_mb']:.0f} MB; over all codes {theirs['seconds']:.2f} s and {theirs['peak_mb']:.0f} MB"
        )
        print(f"  {theirs['seconds'] / ours['seconds']:.0f} times as fast, {theirs['peak_mb'] / max(ours['peak_mb'], 1):.0f} times as small")
    print(
        f"  float64, 18 bits: values within {exact['value']:.1e}, gradients within {exact['gradient']:.1e}; float32, 10 bits, 20,000 tokens: within {exact['ten_bits']:.1e}"
    )
    print(f"entropy, 126,976 tokens (512x512x241), forward and backward: {large}")
    return {"small": small, "exact": exact, "large": large}


def all_codes(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The published form: a softmax over every code of every token (inverse temperature 100)."""
    num_bits = x.shape[-1]
    codes = torch.arange(2**num_bits)
    codebook = ((codes[:, None] >> torch.arange(num_bits - 1, -1, -1)) & 1).to(x.dtype) * 2 - 1
    affinity = 200 * x @ codebook.T
    p, log_p = affinity.softmax(-1), affinity.log_softmax(-1)
    mean = p.mean(0)
    return -(p * log_p).sum(-1).mean(), -(mean * mean.clamp_min(1e-300 if x.dtype == torch.float64 else 1e-38).log()).sum()


def entropy_case(case: dict[str, Any]) -> dict[str, Any]:
    from tokenizers3d.quantizers import LFQ

    x = (torch.randn(case["tokens"], 18, generator=torch.Generator().manual_seed(0)) * 0.01).requires_grad_()
    terms = LFQ(18).entropies if case["who"] == "ours" else all_codes
    sum(terms(x[:8])).backward()

    def work() -> None:
        x.grad = None
        per_sample, batch = terms(x)
        (per_sample - batch).backward()

    return measure(work, case["repeats"])


def exact_case(case: dict[str, Any]) -> dict[str, float]:
    from tokenizers3d.quantizers import LFQ

    x = (torch.randn(40, 18, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 0.01).requires_grad_()
    ours, true = LFQ(18).entropies(x), all_codes(x)
    gradients = [torch.autograd.grad(pair[0] - pair[1], x)[0] for pair in (ours, true)]
    wide = torch.randn(20_000, 10, generator=torch.Generator().manual_seed(2)) * 0.01
    ten, ten_true = LFQ(10).entropies(wide), all_codes(wide.double())
    return {
        "value": max(abs(a - b).item() for a, b in zip(ours, true, strict=True)),
        "gradient": (gradients[0] - gradients[1]).abs().max().item(),
        "ten_bits": max(abs(a.double() - b).item() / b.item() for a, b in zip(ten, ten_true, strict=True)),
    }


def long(args: argparse.Namespace) -> dict[str, Any]:
    """300 slices through the full config, made slab by slab so that nothing of the volume is kept, on a crop of 64 x 64."""
    found = {n: in_fresh_process({"kind": "long", "slices": n, "size": 64, "dtype": args.dtypes[-1]}, args) for n in (33, 300)}
    print(f"streaming 64x64 crops, {args.dtypes[-1]}: 33 slices {found[33]}, 300 slices {found[300]}")
    if all("peak_mb" in numbers for numbers in found.values()):
        print(f"  peak at 300 slices over that at 33: {found[300]['peak_mb'] / found[33]['peak_mb']:.2f}")
    return found


def long_case(case: dict[str, Any]) -> dict[str, float]:
    tokenizer = our_tokenizer(getattr(torch, case["dtype"]))

    def slabs(num_slices: int) -> Any:
        return (volume_of(min(8, num_slices - z), case["size"]) for z in range(0, num_slices, 8))

    tokenizer.encode_stream(slabs(9))
    return measure(lambda: tokenizer.encode_stream(slabs(case["slices"])), 1)


def tiles(args: argparse.Namespace) -> dict[str, Any]:
    """What in-plane tiles change, for the small tokenizer that ships."""
    found = in_fresh_process({"kind": "tiles"}, args)
    for halo, error in found.items():
        print(f"tiles of 16x16 tokens, {halo}: {error}")
    return found


def tiles_case(case: dict[str, Any]) -> dict[str, Any]:
    from dataclasses import asdict
    from importlib.resources import files

    from tokenizers3d.tiles import TileSpec, compare_tiled
    from tokenizers3d.tokenizer import Tokenizer

    tokenizer = Tokenizer.load(Path(str(files("vol3d"))) / "assets" / "tokenizer_small_8x8x8.safetensors")
    x = volume_of(17, 256)
    return {f"halo {halo}": asdict(compare_tiled(tokenizer, x, TileSpec(tile=(16, 16), halo=halo))) for halo in (0, 2, 4, 8)}


CASES = {"codec": codec_case, "entropy": entropy_case, "exact": exact_case, "long": long_case, "tiles": tiles_case}
PARTS = {"peak": peak, "codec": codec, "entropy": entropy, "long": long, "tiles": tiles}

if __name__ == "__main__":
    sys.exit(main())
