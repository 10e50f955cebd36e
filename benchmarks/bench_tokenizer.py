"""Speed, memory and exactness of the tokenizer, as ratios taken in one run. `make bench-tokenizer`.

    python -m benchmarks.bench_tokenizer --only encode --slices 33 --dtypes float32
    VOL3D_BTB3D=/path/to/BTB3D/encoder-decoder python -m benchmarks.bench_tokenizer    # beside the published code, same weights

Each case runs in a process of its own (see `tokenizer_cases`). With `--json FILE` the numbers are written after every case, and a run
that was cut short goes on where it stopped.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

from benchmarks.published_btb3d import checkout

Case = dict[str, Any]
FULL: Case = {"filters": 96, "num_res_blocks": 4}
TINY: Case = {"filters": 32, "num_res_blocks": 1}
PARTS = ("encode", "decode", "stream", "entropy", "tiles")
RUNNERS = {"encode": ["windowed", "stream"], "decode": ["stream"]}
# Blocks go back to the system as soon as they are free, so that a peak is what was needed at one time.
STRICT = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0"}


def main(arguments: list[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    if args.quick:
        args.slices, args.size, args.dtypes, args.repeats = [17], 32, ["float32"], 1
    args.model, args.bits, args.few_tokens, args.many_tokens = (TINY, 10, 64, 4_000) if args.quick else (FULL, 18, 1_000, 126_976)
    bench = Bench(args)
    name = "a narrow 8x8x8 network" if args.quick else "the full 8x8x8 network"
    beside = "beside the published code" if checkout() else "alone (VOL3D_BTB3D is not set)"
    print(f"{name}, {args.threads} threads, torch {torch.__version__}, {beside}")
    for part in args.only:
        print()
        REPORTS[part](bench, args)
    return 1 if bench.failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=list(PARTS), choices=PARTS, help="what to run")
    parser.add_argument("--quick", action="store_true", help="a narrow network and few slices: does it run at all")
    parser.add_argument("--slices", type=int, nargs="+", default=[33, 65, 129])
    parser.add_argument("--size", type=int, default=128, help="rows and columns")
    parser.add_argument("--dtypes", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    parser.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--json", type=Path, help="write all numbers here, case by case; cases that it holds already are not run again")
    return parser


class Bench:
    """Runs cases, each in its own process, and remembers what came out."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.path: Path | None = args.json
        self.common: Case = {"threads": args.threads, "model": args.model}
        self.failed = False
        self.found: dict[str, Case] = {}
        if self.path and self.path.exists():
            self.found = json.loads(self.path.read_text(encoding="utf-8"))["cases"]

    def run(self, *, strict: bool = False, **case: Any) -> Case:
        """The numbers of one case, or `{"failed": why}`."""
        text = json.dumps({**self.common, **case}, sort_keys=True)
        if text not in self.found:
            print(f"running {' '.join(str(v) for v in case.values())}", file=sys.stderr, flush=True)
            environment = {**os.environ, "OMP_NUM_THREADS": str(self.common["threads"]), **(STRICT if strict else {})}
            command = [sys.executable, "-m", "benchmarks.tokenizer_cases", text]
            done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
            if done.returncode:
                self.failed = True
                return {"failed": (done.stderr.strip().splitlines() or [f"exit {done.returncode}"])[-1]}
            self.found[text] = json.loads(done.stdout.strip().splitlines()[-1])
            self._write()
        return self.found[text]

    def conv_peak(self, dtype: str) -> float:
        """The best that any case of this precision has seen, or 0."""
        return max((found["conv_gflops"] for text, found in self.found.items() if "conv_gflops" in found and f'"{dtype}"' in text), default=0.0)

    def _write(self) -> None:
        if self.path:
            part = self.path.with_name(self.path.name + ".part")
            part.write_text(json.dumps({"torch": torch.__version__, "cases": self.found}, indent=1), encoding="utf-8")
            part.replace(self.path)


# --- reports ---------------------------------------------------------------------------------------------------------------------


def _codec(what: str, bench: Bench, args: argparse.Namespace) -> None:
    runners = (["published"] if checkout() else []) + RUNNERS[what]
    print(f"{what}, {args.size}x{args.size}; s: processor seconds; MB: peak over the loaded model; x: published over ours")
    print(f"{'dtype':9} {'slices':>6} {'runner':10} {'s':>7} {'x faster':>8} {'GFLOP':>6} {'of conv peak':>12} {'MB':>6} {'of published':>12}")
    for dtype in args.dtypes:
        for num_slices in args.slices:
            same = {"what": what, "dtype": dtype, "slices": num_slices, "size": args.size}
            times = bench.run(kind="time", **same, runners=runners, repeats=args.repeats)
            memory = {name: bench.run(strict=True, kind="memory", **same, runner=name) for name in runners}
            failures = [numbers["failed"] for numbers in (times, *memory.values()) if "failed" in numbers]
            if failures:
                print(f"{dtype:9} {num_slices:6} failed: {failures[0]}"[:100])
                continue
            for name in runners:
                print(_codec_row(dtype, num_slices, name, times, memory, bench.conv_peak(dtype)))
            if "codes_that_differ" in times:
                print(f"{'':27} codes that differ from the published, windowed: {' of '.join(map(str, times['codes_that_differ']))}")
    for dtype in args.dtypes:
        if peak := bench.conv_peak(dtype):
            print(f"conv3d peak of this machine, {dtype}: {peak:.0f} GFLOP a processor second")


def _codec_row(dtype: str, num_slices: int, name: str, times: Case, memory: dict[str, Case], peak: float) -> str:
    own, theirs = times[name], times.get("published")
    speed = f"{theirs['cpu_seconds'] / own['cpu_seconds']:.2f}" if theirs else "-"
    size = f"{memory[name]['peak_mb'] / memory['published']['peak_mb']:.2f}" if theirs else "-"
    share = own["gflop"] / own["cpu_seconds"] / peak
    return (
        f"{dtype:9} {num_slices:6} {name:10} {own['cpu_seconds']:7.2f} {speed:>8} {own['gflop']:6.0f} "
        f"{share:12.0%} {memory[name]['peak_mb']:6.0f} {size:>12}"
    )


def _encode(bench: Bench, args: argparse.Namespace) -> None:
    _codec("encode", bench, args)


def _decode(bench: Bench, args: argparse.Namespace) -> None:
    _codec("decode", bench, args)


def _stream(bench: Bench, args: argparse.Namespace) -> None:
    """Whether the memory of a stream grows with the depth."""
    for dtype in args.dtypes:
        ends = [9, 17] if args.quick else [args.slices[0], args.slices[-1]]
        same = {"what": "encode", "dtype": dtype, "size": args.size, "runner": "stream"}
        _print_growth(f"{args.size}x{args.size}, {dtype}", ends, [bench.run(strict=True, kind="memory", slices=n, **same) for n in ends])
    ends, size, dtype = ([17, 33], 32, "float32") if args.quick else ([33, 300], 64, "float32")
    found = [bench.run(strict=True, kind="long", slices=n, size=size, dtype=dtype) for n in ends]
    _print_growth(f"{size}x{size}, {dtype}, made slab by slab", ends, found)


def _print_growth(title: str, ends: list[int], found: list[Case]) -> None:
    if any("failed" in numbers for numbers in found):
        print(f"stream, {title}: failed: {found}"[:100])
        return
    first, last = (numbers["peak_mb"] for numbers in found)
    print(f"stream, {title}: {first:.0f} MB at {ends[0]} slices, {last:.0f} MB at {ends[1]}: {last / first:.2f} times")


def _entropy(bench: Bench, args: argparse.Namespace) -> None:
    """The entropy terms beside the published function, and at the size of a whole chest CT."""
    same = {"kind": "entropy", "bits": args.bits, "has_published": checkout() is not None}
    who = "the published function" if checkout() else "the published form, written out"
    ours = bench.run(strict=True, **same, runner="ours", tokens=args.few_tokens, repeats=5)
    needed = 9 * 4 * args.few_tokens * 2**args.bits
    theirs = bench.run(strict=True, **same, runner="published", tokens=args.few_tokens, repeats=1) if _has_memory(needed) else {}
    many = bench.run(strict=True, **same, runner="ours", tokens=args.many_tokens, repeats=1)
    tokens = args.few_tokens if _has_memory(12 * 8 * args.few_tokens * 2**args.bits) else args.few_tokens // 5
    exact = bench.run(kind="exact", bits=args.bits, tokens=tokens, has_published=checkout() is not None)
    print(f"entropy terms of {args.bits} bits, float32, forward and backward, beside {who}")
    for title, numbers in (("published", theirs), ("ours", ours), ("ours", many)):
        count = args.many_tokens if numbers is many else args.few_tokens
        if "failed" in numbers or not numbers:
            print(f"{title:10} {count:8,} tokens: {numbers.get('failed', f'not run: needs {needed / 1e9:.0f} GB of free memory')}"[:100])
            continue
        ratio = ""
        if numbers is ours and "peak_mb" in theirs:
            ratio = f"; {theirs['cpu_seconds'] / ours['cpu_seconds']:.0f} times as fast, {theirs['peak_mb'] / max(ours['peak_mb'], 1):.0f} as small"
        print(f"{title:10} {count:8,} tokens: {numbers['cpu_seconds']:.3f} s, {numbers['peak_mb']:.0f} MB{ratio}")
    if "failed" in exact:
        print(f"exactness: failed: {exact['failed']}"[:100])
        return
    print(f"float64, {tokens} tokens: values within {exact['value']:.1e}, gradients within {exact['gradient']:.1e}")
    print(f"float32 against its float64, 10 bits, 20,000 tokens: within {exact['ten_bits']:.1e} of it")


def _has_memory(num_bytes: float) -> bool:
    """Whether so much is free; the published form would bring a smaller machine down."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return True
    return any(line.startswith("MemAvailable") and int(line.split()[1]) * 1024 > 1.2 * num_bytes for line in lines)


def _tiles(bench: Bench, args: argparse.Namespace) -> None:
    found = bench.run(kind="tiles", slices=9 if args.quick else 17, size=64 if args.quick else 256, halos=[0, 2] if args.quick else [0, 2, 4, 8])
    if "failed" in found:
        print(f"tiles: failed: {found['failed']}"[:100])
        return
    print("tiles in the plane, the small tokenizer that ships: what they change against no tiles")
    for halo, error in found.items():
        print(f"halo of {halo} tokens: bits {error['bits']:.2%}, tokens {error['tokens']:.2%}, voxels by {error['mean_voxel']:.4f} on average")


REPORTS = {"encode": _encode, "decode": _decode, "stream": _stream, "entropy": _entropy, "tiles": _tiles}

if __name__ == "__main__":
    sys.exit(main())
