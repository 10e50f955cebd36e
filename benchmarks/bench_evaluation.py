"""How long questions and scores take: `python -m benchmarks.bench_evaluation`.

Two lines, in time on the wall and of the processor: 10,000 questions from 100 phantoms (the phantoms' own time apart), and 10,000 predictions with
2,000 resamples over patients, scored as `vol3d evaluate vqa --run` does: the model, and every baseline beside it, its own blind and swapped answers among them.
"""

import os
import time
from concurrent.futures import ProcessPoolExecutor

import numpy as np

from data_prep.questions import draft_case, generate_corpus
from data_prep.text.entities import extract_entities
from vol3d.evaluation.vqa_table import item_from_record
from vol3d.evaluation.vqa_task import score_model
from vol3d.volume.phantom import random_phantom

PHANTOMS, QUESTIONS, SCANS, RESAMPLES = 100, 10_000, 991, 2000


def draft(seed):
    start = time.process_time()
    body = random_phantom(seed, modality="CT")
    made = time.process_time()
    case = draft_case(body.volume, body.labels, phase=body.parameters["phase"])
    return case, made - start, time.process_time() - made


def questions():
    start = time.perf_counter()
    with ProcessPoolExecutor(2) as pool:
        drafted = list(pool.map(draft, range(PHANTOMS)))
    cases = [case for case, _, _ in drafted]
    used = time.process_time()
    everything = generate_corpus(cases, np.random.default_rng(0), balanced=False)
    balanced = generate_corpus(cases, np.random.default_rng(0))
    wall = time.perf_counter() - start
    parts = f"phantoms {sum(d[1] for d in drafted):.1f} s, drafting {sum(d[2] for d in drafted):.1f} s, writing {time.process_time() - used:.1f} s"
    print(f"{len(everything.records)} questions ({len(balanced.records)} balanced) from {PHANTOMS} phantoms: {wall:.1f} s; of processor: {parts}")


def scores():
    rng = np.random.default_rng(0)
    letters = rng.integers(0, 4, (QUESTIONS, 2))
    records = [
        {
            "qid": i, "image_id": f"BDMAP_{i % SCANS:08d}", "mc_question": "Volume? A. 10 cm3 B. 20 cm3 C. 30 cm3 D. 40 cm3", "correct_option": "ABCD"[letters[i, 0]],
            "answer": "10", "organ": "liver", "question_type": f"group {i % 4}", "question_subtype": f"subtype {i % 42}",
        }
        for i in range(QUESTIONS)
    ]  # fmt: skip
    said = [{"qid": str(i), "prediction": f"Based on the CT, the answer is {'ABCD'[letters[i, 1]]}"} for i in range(QUESTIONS)]
    beside = {name: {one["qid"]: one["prediction"] for one in said} for name in ("blind", "swapped")}
    start, used = time.perf_counter(), time.process_time()
    items = [item_from_record(record, "mc") for record in records]
    rows, _ = score_model(items, said, beside=beside, extractor=extract_entities, num_resamples=RESAMPLES)
    wall, used = time.perf_counter() - start, time.process_time() - used
    print(
        f"{QUESTIONS} predictions beside all baselines, {RESAMPLES} resamples of {SCANS} scans, {len(rows)} rows: {wall:.1f} s ({used:.1f} s of processor)"
    )


if __name__ == "__main__":
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    questions()
    scores()
