r"""Letters of multiple-choice answers, and categories of free answers, without credit for letters that are only words.

The published scorer of DeepTumorVQA takes the first character that is A-D, so "Based on the CT, the answer is C" counts as B.
Here a letter counts only where the text offers it as the answer.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Literal

from vol3d.evaluation.parsing.text import clean, is_undecided, normalise

_LETTERS = "ABCDEFGHIJ"
_OPTION = re.compile(r"(?:^|(?<=[\s;,]))\(?([A-J])[.):]\s*(.+?)(?=(?:[\s;,]+\(?[A-J][.):]\s)|\n|$)")
_NEGATION = re.compile(
    r"(?:\bnot|n't|\bnever|\bneither|\bexcludes?|\brules? out|\bexcept|\brather than|\binstead of)\s+(?:(?!but\b)\w+\s+){0,2}?$", re.I
)
# Letters that belong to a medical name and are no answer: hepatitis B, vitamin D, Child-Pugh class A.
_NAMED = re.compile(r"(?:hepatitis|vitamin|child[- ]pugh|class|grade|type|stage|group|lead|protein|factor|phase|series|level|segment)\s+$", re.I)
_CLAIM = r"(?:(?:final |correct |best |right )?(?:answer|option|choice|response|letter)(?: (?:is|would be|should be|must be))?|(?:choose|select|pick|go with|opt for|answer with))"
_FILLER = r"(?:\s*(?:is|was|would be|be|:|=|->|-|the|option|choice|answer|letter|correct|most likely|probably|clearly|definitely|therefore)\s*)*"
# Letters that the text turns down, and pairs that it weighs before it settles: neither is an answer.
_L = r"\(?[A-J]\)?"
_LIST = rf"(?:options?|choices?|answers?)?\s*{_L}(?:\s*,\s*{_L})*(?:\s*,?\s*(?:and|or|nor)\s+{_L})?"
_BAD = (
    r"(?:clearly |obviously |definitely |also |both )*(?:wrong|incorrect|false|unlikely|excluded|eliminated|impossible|ruled out|out\b|too \w+|not\b)"
)
_REJECTED = re.compile(
    rf"\bneither\s+(?:option\s+)?{_L}\s+nor\s+(?:option\s+)?{_L}"
    rf"|\b(?:rul(?:e[sd]?|ing) out|exclud\w+|eliminat\w+|reject\w*|discard\w*|except|not)\s+{_LIST}(?![\w'-])"
    rf"|(?<![\w'-])(?:(?:options?|choices?|answers?)\s+)?{_L}(?:\s*,\s*{_L})*\s*,?\s+(?:and|or)\s+{_L}\s+(?:are|seem|look|can be)\s+{_BAD}"
    rf"|(?<![\w'-])(?:(?:[Oo]ption|[Cc]hoice|[Aa]nswer)\s+)?{_L}\s+(?:is|seems|looks|can be)\s+{_BAD}"
)
_WEIGHED = re.compile(rf"(?:\b[Bb]etween\s+)?(?<![\w'-]){_L}\s+(?:or|and|vs\.?|versus)\s+{_L}(?=\s*[,;:])")
_CORRECTION = re.compile(r"\b(?:final|wait|actually|correction|sorry|instead|on reflection|reconsider\w*|therefore|thus|hence|so)\b", re.I)


def read_options(text: str) -> dict[str, str]:
    r"""Options listed in a question, letter -> text.

    >>> read_options("Largest? A. left kidney B. right kidney\nC) equal D) none")
    {'A': 'left kidney', 'B': 'right kidney', 'C': 'equal', 'D': 'none'}
    """
    return {letter: body.strip().rstrip(";,") for letter, body in _OPTION.findall(text)}


def _as_mapping(options: Mapping[str, str] | Sequence[str] | None) -> dict[str, str]:
    if options is None:
        return dict.fromkeys("ABCD", "")
    if isinstance(options, Mapping):
        return {str(k).upper(): str(v) for k, v in options.items()}
    if all(len(str(o)) == 1 and str(o).upper() in _LETTERS for o in options):
        return {str(o).upper(): "" for o in options}
    return {_LETTERS[i]: str(o) for i, o in enumerate(options)}


def parse_choice(text: str, options: Mapping[str, str] | Sequence[str] | None = None, *, mode: Literal["strict", "lenient"] = "strict") -> str | None:
    """The letter that a text commits to, or None.

    Args:
        text: what the model wrote.
        options: letter -> option text, a list of option texts, or a list of letters; A to D without texts when left out.
        mode: `lenient` also takes the last stand-alone letter of an undecided text.

    >>> parse_choice("Based on the CT, the answer is C"), parse_choice("A lesion is seen")
    ('C', None)
    >>> parse_choice("It is unresectable.", ["resectable", "unresectable"])
    'B'

    """
    table = _as_mapping(options)
    body = clean(text)
    letter = _decided(body, table)
    if letter is None and mode == "lenient":
        loose = [m.group(1) for m in re.finditer(r"(?<![\w'-])([A-J])(?![\w'-])", body) if not _is_article(body, m)]
        letter = next((item for item in reversed(loose) if item in table), None) or _only_mention(body, table, negation=False)
    return letter


def _decided(body: str, table: dict[str, str]) -> str | None:
    bare = re.fullmatch(r"(?:(?:option|choice|answer)\s*[:=]?\s*)?[\[({\"']*([A-Ja-j])[\])}\"'.:,;!]*", body, re.I)
    if bare:
        return _known(bare.group(1), table)
    exact = [letter for letter, option in table.items() if option and normalise(option) == normalise(body)]
    if exact:
        return exact[0] if len(exact) == 1 else None
    headed = re.match(r"\(?([A-Ja-j])(?:[.):]|\s-)\s+(\S.*)", body, re.S)
    listing = len(set(re.findall(r"(?:^|\s)\(?([A-J])[.):]\s", body))) > 1
    claimed = _claims(body)
    if claimed is not None:
        return _known(claimed, table) if claimed else None
    first = re.fullmatch(r"\(?([A-J])[.):]*", body.split("\n")[0].strip())
    if first and not re.search(r"(?m)^\s*\(?[A-J][.):]*\s*$", body.split("\n", 1)[1]):  # the letter, then a paragraph of reasons
        return _known(first.group(1), table)
    if headed and not listing:
        return _agreeing(headed.group(1), headed.group(2), table)
    rest, weighed = _set_aside(body)
    if is_undecided(rest):
        return None
    letter = _concluding(rest, table)
    if letter and weighed and letter not in weighed:
        return None
    return letter or _only_mention(body, table, negation=True)


def _set_aside(body: str) -> tuple[str, set[str]]:
    """The text without the letters that it rejects and without pairs that it weighs, and the letters of those pairs."""
    rest = _REJECTED.sub(" ~ ", body)
    weighed = {letter for match in _WEIGHED.finditer(rest) for letter in re.findall(r"(?<![\w'-])[A-J](?![\w'-])", match.group(0))}
    return _WEIGHED.sub(" ~ ", rest), weighed


def _known(letter: str, table: dict[str, str]) -> str | None:
    return letter.upper() if letter.upper() in table else None


def _is_article(body: str, match: re.Match[str]) -> bool:
    """'A lesion': the letter A followed by a lower-case word is an article; so is 'I' the writer."""
    rest = body[match.end(1) :]
    return (match.group(1) == "A" and bool(re.match(r"\s+(?!(?:or|and|is|but|because|since|as|for|due)\b)[a-z0-9]", rest))) or (
        match.group(1) == "I" and bool(re.match(r"\s+[a-z]|'", rest))
    )


def _is_letter(body: str, match: re.Match[str]) -> bool:
    """A capital, or a small letter with which the line ends: 'the answer is b'."""
    return match.group(1).isupper() or bool(re.match(r"[\"')\].]*\s*(?:$|\n)", body[match.end(1) :]))


def _claims(body: str) -> str | None:
    """The letter of the phrases that name an answer: '' when they contradict each other, None when there are none."""
    body = _REJECTED.sub(" ~ ", body)
    pattern = re.compile(
        rf"\b{_CLAIM}{_FILLER}[\s:=\"'(\[]*(?:\boption\s+)?([A-J])(?![\w-]|'\w)(?!\s*(?:\bor (?:rather |maybe |perhaps )?|\band |/\s*)\(?[A-J]\b)",
        re.I,
    )
    hits = []
    for match in pattern.finditer(body):
        if not _is_letter(body, match) or _is_article(body, match) or re.search(r"\bnot\b|n't", match.group(0)):
            continue
        if _NEGATION.search(body[: match.start()]):
            continue
        hits.append(match)
    is_form = re.compile(r"(?<![\w'-])\(?([A-J])\)?(?:[.:]\s*[^.\n]{1,60})?\s+is (?:the )?(?:correct|right|best|final|most likely|my)\b")
    hits += [m for m in is_form.finditer(body) if not _NEGATION.search(body[: m.start()])]
    if not hits:
        return None
    hits.sort(key=lambda m: m.start())
    letters = {m.group(1) for m in hits}
    if len(letters) == 1:
        return letters.pop().upper()
    last = hits[-1]
    before = body[hits[-2].end() : last.end()]
    return last.group(1).upper() if _CORRECTION.search(before) else ""


def _agreeing(letter: str, rest: str, table: dict[str, str]) -> str | None:
    """'B. left kidney': the letter, unless the words after it are another option's."""
    others = [k for k, option in table.items() if option and k != letter.upper() and normalise(option) == normalise(rest)]
    own = table.get(letter.upper(), "")
    if others and normalise(own) != normalise(rest):
        return None
    return _known(letter, table)


def _concluding(body: str, table: dict[str, str]) -> str | None:
    """One stand-alone capital letter that is neither an article, nor a name's, nor negated."""
    hits = []
    for match in re.finditer(r"(?<![\w'./-])\(?([A-J])\)?(?![\w'/-]|\.\w)", body):
        before = body[: match.start()]
        if _is_article(body, match) or _NAMED.search(before) or _NEGATION.search(before):
            continue
        if re.match(r"\s+(?:is|seems|looks|can be)\s+(?:wrong|incorrect|unlikely|excluded|ruled out|not)\b", body[match.end() :]):
            continue
        if match.group(1) in table or match.group(1) != "I":
            hits.append(match.group(1))
    letters = set(hits)
    return _known(letters.pop(), table) if len(letters) == 1 else None


def _only_mention(body: str, table: dict[str, str], *, negation: bool) -> str | None:
    """The only option whose words stand in the text; the longest wins where one option's words lie in another's."""
    found: list[tuple[int, int, str]] = []
    lowered = body.lower()
    for letter, option in table.items():
        words = normalise(option)
        if not words:
            continue
        for match in re.finditer(rf"(?<![\w.-]){re.escape(words)}(?![\w-]|\.\d)", lowered):
            found.append((match.start(), match.end(), letter))
    longest = [f for f in found if not any(o is not f and o[0] <= f[0] and f[1] <= o[1] and o[1] - o[0] > f[1] - f[0] for o in found)]
    letters = {letter for _, _, letter in longest}
    if len(letters) != 1:
        return None
    if negation and any(_NEGATION.search(lowered[:start]) or re.search(r"\bno\s+$", lowered[:start]) for start, _, _ in longest):
        return None
    return letters.pop()


def parse_category(text: str, categories: Sequence[str], *, mode: Literal["strict", "lenient"] = "strict") -> str | None:
    """The one category that a free answer names, or None; never by substring.

    >>> parse_category("The tumour is unresectable", ["resectable", "borderline resectable", "unresectable"])
    'unresectable'
    >>> parse_category("not resectable", ["resectable", "unresectable"]) is None
    True
    """
    table = {str(i): category for i, category in enumerate(categories)}
    body = clean(text)
    same = [category for category in categories if normalise(category) == normalise(body)]
    if same:
        return same[0]
    if is_undecided(body) and mode == "strict":
        return None
    key = _only_mention(body, table, negation=mode == "strict")
    return None if key is None else table[key]
