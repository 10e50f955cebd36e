"""What all answer parsers do first: drop a model's thinking and mark-up, find the part that is stated as the answer."""

import json
import re

_THINK = re.compile(r"<(think|thinking|reasoning)>.*?</\1>", re.S | re.I)
_OPEN_THINK = re.compile(r"<(think|thinking|reasoning)>", re.I)
_ANSWER_TAG = re.compile(r"<answer>(.*?)</answer>", re.S | re.I)
_BOXED = re.compile(r"\\boxed\s*\{(?:\\text\s*\{)?([^{}]*)\}+")
_LEFTOVER = re.compile(r"<\|[^<>|]{1,40}\|>|</?s>|<end_of_turn>|<eos>", re.I)
_UNDECIDED = re.compile(
    r"\b(?:can(?:no|')t (?:be )?(?:determine|answer|say|tell|assess|provide|evaluate)\w*|cannot (?:be )?\w+|unable to|not possible to|"
    r"impossible to|insufficient|indeterminable|(?:do not|don't|did not) know|not sure|unsure|unclear|unknown|no idea|"
    r"not (?:covered|measured|available|assessable|evaluable)|no expert|neither|none of (?:the|these)|n/a|not applicable|error|as an ai)\b",
    re.I,
)


def clean(text: str) -> str:
    r"""The text that counts: without thinking, with the content of an answer tag, a box or a JSON field where there is one.

    A thinking block that never ends means that the answer was never reached: the result is empty.

    >>> clean("<think>maybe A</think> **B**")
    'B'
    >>> clean(r"so \boxed{C}")
    'C'
    """
    text = _LEFTOVER.sub(" ", _THINK.sub(" ", text))
    if "</think>" in text:  # some chat templates put the opening tag into the prompt
        text = text.rsplit("</think>", 1)[1]
    if _OPEN_THINK.search(text):
        return ""
    for pattern in (_ANSWER_TAG, _BOXED):
        found = pattern.findall(text)
        if found:
            text = found[-1]
            break
    text = _json_answer(text)
    text = text.replace("’", "'").replace("−", "-").replace("–", "-").replace("\u00a0", " ")
    return re.sub(r"[*_`#$]{1,3}(?=\S)|(?<=\S)[*_`$]{1,3}", "", text).strip()


def _json_answer(text: str) -> str:
    """The `answer` field of a JSON object, else the text itself."""
    body = re.sub(r"^```(?:json)?|```$", "", text.strip(), flags=re.M).strip()
    if not body.startswith("{"):
        return text
    try:
        data = json.loads(body)
    except json.JSONDecodeError:
        return text
    for key in ("final_answer", "answer", "choice", "option", "value"):
        if key in data and isinstance(data[key], str | int | float):
            if isinstance(data[key], bool):
                return "yes" if data[key] else "no"
            return str(data[key])
    return text


def is_undecided(text: str) -> bool:
    """Whether the writer declines: refusals, errors, 'cannot be determined', 'none of the above'.

    >>> is_undecided("I cannot determine this from one slice."), is_undecided("No lesion.")
    (True, False)
    """
    return bool(_UNDECIDED.search(text))


def normalise(text: str) -> str:
    """Lower case, one space, no punctuation at the ends, no article: the form in which categories are compared.

    >>> normalise("  The Left  Kidney. ")
    'left kidney'
    """
    text = re.sub(r"\s+", " ", text.lower()).strip(" \t\n.,;:!?\"'()[]")
    return re.sub(r"^(?:the|a|an) ", "", text)
