"""Training and answering with the default language model: packed attention beside a dense mask, float32 beside bfloat16, many
questions at once beside one at a time. Rates are tokens over CPU seconds of one thread, so that a busy machine does not blur them.

    python -m benchmarks.bench_language [--dtype float32] [--repeats 3]
"""

import argparse
import time
from collections.abc import Callable

import torch

from vol3d.vlm.attention import register
from vol3d.vlm.config import LoraSpec, ProjectorSpec, VisionLanguageConfig
from vol3d.vlm.decoding import merge_adapters
from vol3d.vlm.model import VisionLanguageModel
from vol3d.vlm.packing import Group, context, pack, target

# One prefix of images and evidence, eight short questions: what the demo trains on. The second row packs four of them.
PREFIX, QUESTIONS, ASKED, ANSWERED = 330, 8, 16, 5
SPEC = ProjectorSpec(class_path="vol3d.vlm.projectors.PoolProjector", init_args={"in_channels": 18})


def group(seed: int) -> Group:
    """A prefix and its questions, of random words."""
    generator = torch.Generator().manual_seed(seed)

    def words(n: int) -> torch.Tensor:
        return torch.randint(20, 4000, (n,), generator=generator)

    return Group(context(words(PREFIX)), tuple(context(words(ASKED)) + target(words(ANSWERED)) for _ in range(QUESTIONS)))


def best(repeats: int, run: Callable[[], object]) -> tuple[float, float]:
    """Least CPU and wall seconds of a call."""
    times = []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        run()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    return min(t[0] for t in times), min(t[1] for t in times)


def training(model: VisionLanguageModel, name: str, repeats: int) -> None:
    """Forward, backward and optimiser on one group and on four in a row."""
    optimiser = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    model.train()
    for num_groups in (1, 4):
        batch = pack([group(seed) for seed in range(num_groups)])
        for backend in ("sdpa", "span_loop"):
            model.language.config._attn_implementation = register(backend)

            def step(batch: object = batch) -> None:
                model(batch).loss.backward()
                optimiser.step()
                optimiser.zero_grad()

            cpu, wall = best(repeats, step)
            print(
                f"{name:9} train   {batch.num_tokens:5} tokens  {backend:10} {batch.num_tokens / cpu:6.0f} tokens/s CPU  {cpu:6.2f} s CPU {wall:6.2f} s wall"
            )


def answering(model: VisionLanguageModel, name: str, repeats: int) -> None:
    """Eight questions after one prefix, together and one at a time, eight tokens each."""
    model.eval()
    merge_adapters(model)
    text = "Evidence:\n" + "liver: found, volume 1450.2 ml\n" * 27
    questions = [f"Question: how large is structure {i}?<|im_end|>\n<|im_start|>assistant\n" for i in range(QUESTIONS)]
    read, _ = best(repeats, lambda: model.encode_prefix(text))
    prefix = model.encode_prefix(text)
    together, _ = best(repeats, lambda: model.answer_many(prefix, questions, max_new_tokens=8))
    apart, _ = best(1, lambda: [model.generate(text, (), question, max_new_tokens=8) for question in questions])
    print(
        f"{name:9} answer  prefix of {prefix.length} tokens {read:.2f} s CPU, {QUESTIONS} questions together {together:.2f} s, each from the start {apart:.2f} s"
    )


def main() -> None:
    """Print one line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], action="append", help="of the base weights (default: both)")
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    for name in args.dtype or ["float32", "bfloat16"]:
        torch.manual_seed(0)
        config = VisionLanguageConfig(projectors={"volume": SPEC}, lora=LoraSpec())
        model = VisionLanguageModel.from_config(config, dtype=getattr(torch, name))
        training(model, name, args.repeats)
        answering(model, name, args.repeats)


if __name__ == "__main__":
    main()
