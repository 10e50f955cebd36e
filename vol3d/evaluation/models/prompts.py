"""The words around a question for other people's models: the published benchmark's instructions, in one place, and templates instead of them."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from vol3d.errors import ConfigError
from vol3d.evaluation.vqa import answer_kind

DEFAULT = "{question}\n{instruction}"
_CHOICE = "Answer with ONLY the letter of the right option."
_FREE = {
    "number": "Answer with a single number (no units, no extra words).",
    "yes_no": "Answer with 'yes' or 'no'.",
    "category": "Answer with the most appropriate short phrase.",
    "text": "Answer in one or two sentences.",
    "choice": "",
}


def prompt_for(record: Mapping[str, Any], form: Literal["mc", "free"], template: str = DEFAULT) -> str:
    r"""Question and instruction, as the model sees them.

    Args:
        record: a question.
        form: multiple choice or free form.
        template: its `{question}` (with options, or with spacing and shape) and `{instruction}` (the benchmark's own) are filled in.

    >>> prompt_for({"mc_question": "Larger? A. left B. right", "answer": "left"}, "mc")
    'Larger? A. left B. right\nAnswer with ONLY the letter of the right option.'
    >>> prompt_for({"mc_question": "Larger? A. left B. right"}, "mc", "Look at this CT. {question}")
    'Look at this CT. Larger? A. left B. right'
    """
    if form == "mc":
        question, instruction = str(record.get("mc_question") or record.get("multiple_choice_question")), _CHOICE
    else:
        spacing = f"Voxel spacing (mm): {record['spacing']}. Volume shape: {record.get('shape')}.\n" if record.get("spacing") else ""
        kind = str(record.get("answer_kind") or answer_kind(record["answer"]))
        question, instruction = f"{spacing}{record['question']}", _FREE.get(kind, "")
    return template.replace("{instruction}", instruction).replace("{question}", question)


def prompt_id(template: str) -> str:
    """Eight letters that stand for a template in file names and answers.

    >>> prompt_id(DEFAULT)
    'default'
    """
    return "default" if template == DEFAULT else hashlib.sha256(template.encode()).hexdigest()[:8]


def read_prompts(path: str | Path) -> tuple[str, ...]:
    """Templates of a text file, apart by lines of three or more dashes.

    Errors: ConfigError where there is none, one twice, or one without `{question}`.
    """
    blocks: list[list[str]] = [[]]
    for line in Path(path).read_text(encoding="utf-8-sig").splitlines():
        if line.strip() and not line.strip("- "):
            blocks.append([])
        else:
            blocks[-1].append(line)
    prompts = [text for block in blocks if (text := "\n".join(block).strip())]
    if not prompts or len(set(prompts)) < len(prompts):
        raise ConfigError("no prompts to choose from", path=path, expected="different templates, apart by lines of ---", found=f"{len(prompts)}")
    for prompt in prompts:
        if "{question}" not in prompt:
            raise ConfigError("a prompt without its question", path=path, expected="{question} in it", found=prompt[:60])
    return tuple(prompts)
