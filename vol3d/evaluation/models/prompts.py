"""The words around a question for other people's models: the published benchmark's instructions, in one place."""

from collections.abc import Mapping
from typing import Any, Literal

from vol3d.evaluation.vqa import answer_kind

_FREE = {
    "number": "Answer with a single number (no units, no extra words).",
    "yes_no": "Answer with 'yes' or 'no'.",
    "category": "Answer with the most appropriate short phrase.",
    "choice": "",
}


def prompt_for(record: Mapping[str, Any], form: Literal["mc", "free"]) -> str:
    r"""Question and instruction, as the model sees them.

    >>> prompt_for({"mc_question": "Larger? A. left B. right", "answer": "left"}, "mc")
    'Larger? A. left B. right\nAnswer with ONLY the letter of the right option.'
    """
    if form == "mc":
        text = record.get("mc_question") or record.get("multiple_choice_question")
        return f"{text}\nAnswer with ONLY the letter of the right option."
    spacing = f"Voxel spacing (mm): {record['spacing']}. Volume shape: {record.get('shape')}.\n" if record.get("spacing") else ""
    return f"{spacing}{record['question']}\n{_FREE[answer_kind(record['answer'])]}"
