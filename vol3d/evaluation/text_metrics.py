"""BLEU, ROUGE-L and CIDEr-D on reports, each with its recipe in its name, and as sums per report so that intervals cost nothing.

Seven repositories of this field use four definitions of BLEU; a number without tokeniser, casing and corpus-or-sentence cannot be compared.
BLEU and CIDEr-D follow the COCO caption tools (Papineni 2002; Vedantam 2015), ROUGE-L either COCO (beta 1.2) or Google (beta 1; Lin 2004).
None of them ranks report models: one constant normal report beats published systems. They are shown beside baselines, never alone.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from vol3d.errors import ConfigError

Tokeniser = Callable[[str], list[str]]
_ORDERS = 4


def whitespace(text: str) -> list[str]:
    """Words as they stand, case kept: what the VLM3D challenge scores."""
    return text.split()


def lower_words(text: str) -> list[str]:
    """Lower-case words without punctuation, as PTB tokenisation followed by COCO's punctuation list leaves them, roughly."""
    return re.findall(r"[a-z0-9]+(?:[.'-][a-z0-9]+)*", text.lower())


def google(text: str) -> list[str]:
    """rouge-score's default: lower case, runs of letters and digits, no stemming."""
    return re.findall(r"[a-z0-9]+", text.lower())


TOKENISERS: Mapping[str, Tokeniser] = {"whitespace": whitespace, "lower_words": lower_words, "google": google}


def check_pairs(references: Sequence[str], hypotheses: Sequence[str]) -> None:
    """Refuse lists of different lengths and empty ones."""
    if len(references) != len(hypotheses) or not references:
        raise ConfigError("one hypothesis per reference is needed", expected=f"{len(references)} of each, at least one", found=len(hypotheses))


def _ngrams(tokens: Sequence[str], order: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[i:] for i in range(order)), strict=False))


def bleu_columns(references: Sequence[str], hypotheses: Sequence[str], *, tokeniser: Tokeniser) -> Float[np.ndarray, "n 10"]:
    """Per report: clipped matches of orders 1-4, n-grams of orders 1-4, hypothesis length, reference length. Summable."""
    check_pairs(references, hypotheses)
    rows = np.zeros((len(references), 2 * _ORDERS + 2))
    for i, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        ref, hyp = tokeniser(reference), tokeniser(hypothesis)
        for n in range(1, _ORDERS + 1):
            rows[i, n - 1] = sum((_ngrams(hyp, n) & _ngrams(ref, n)).values())
            rows[i, _ORDERS + n - 1] = max(0, len(hyp) - n + 1)
        rows[i, -2:] = len(hyp), len(ref)
    return rows


def bleu_of_sums(sums: Float[np.ndarray, "r 10"]) -> Float[np.ndarray, "r 4"]:
    """Corpus BLEU-1..4 (columns) from summed columns; the COCO tools' tiny constants keep zero counts finite."""
    tiny, small = 1e-15, 1e-9
    matches, totals = sums[:, :_ORDERS], sums[:, _ORDERS : 2 * _ORDERS]
    precision = np.cumsum(np.log((matches + tiny) / (totals + small)), axis=1) / np.arange(1, _ORDERS + 1)
    ratio = (sums[:, -2] + tiny) / (sums[:, -1] + small)
    penalty = np.where(ratio < 1, 1 - 1 / np.maximum(ratio, 1e-300), 0.0)
    return np.exp(precision + penalty[:, None])


def bleu(references: Sequence[str], hypotheses: Sequence[str], *, tokeniser: Tokeniser = whitespace) -> tuple[float, float, float, float]:
    """Corpus BLEU-1..4, COCO flavour.

    >>> bleu(["the liver is normal in size"], ["the liver is normal in size"])[3].__round__(6)
    1.0
    """
    b1, b2, b3, b4 = bleu_of_sums(bleu_columns(references, hypotheses, tokeniser=tokeniser).sum(0, keepdims=True))[0]
    return float(b1), float(b2), float(b3), float(b4)


def longest_common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, by bit-parallel rows (Hyyro 2004): microseconds for a report.

    >>> longest_common_subsequence("a b c d".split(), "b x d".split())
    2
    """
    where: dict[str, int] = {}
    for i, word in enumerate(a):
        where[word] = where.get(word, 0) | (1 << i)
    full = (1 << len(a)) - 1
    state = full
    for word in b:
        hits = state & where.get(word, 0)
        state = ((state + hits) | (state - hits)) & full
    return len(a) - state.bit_count()


def rouge_l(references: Sequence[str], hypotheses: Sequence[str], *, tokeniser: Tokeniser, beta: float) -> Float[np.ndarray, " n"]:
    """ROUGE-L F per report; `beta` 1.2 with whitespace tokens is COCO's, 1.0 with `google` tokens is rouge-score's."""
    check_pairs(references, hypotheses)
    scores = np.zeros(len(references))
    for i, (reference, hypothesis) in enumerate(zip(references, hypotheses, strict=True)):
        ref, hyp = tokeniser(reference), tokeniser(hypothesis)
        common = longest_common_subsequence(ref, hyp)
        if common:
            precision, recall = common / len(hyp), common / len(ref)
            scores[i] = (1 + beta**2) * precision * recall / (recall + beta**2 * precision)
    return scores


def cider_d(
    references: Sequence[str], hypotheses: Sequence[str], *, tokeniser: Tokeniser = whitespace, sigma: float = 6.0
) -> Float[np.ndarray, " n"]:
    """CIDEr-D per report (times 10), with idf from these references: unstable below about 100 reports, undefined for one (then 0)."""
    check_pairs(references, hypotheses)
    ref_counts = [_all_ngrams(tokeniser(text)) for text in references]
    hyp_counts = [_all_ngrams(tokeniser(text)) for text in hypotheses]
    frequency = Counter(gram for counts in ref_counts for gram in counts)
    log_total = float(np.log(len(references)))
    idf = {gram: log_total - float(np.log(count)) for gram, count in frequency.items()}
    scores = np.zeros(len(references))
    for i, (ref, hyp) in enumerate(zip(ref_counts, hyp_counts, strict=True)):
        vectors = [{gram: count * idf.get(gram, log_total) for gram, count in counts.items()} for counts in (hyp, ref)]
        bigrams = [sum(count for gram, count in counts.items() if len(gram) == 2) for counts in (hyp, ref)]
        penalty = float(np.exp(-((bigrams[0] - bigrams[1]) ** 2) / (2 * sigma**2)))
        scores[i] = 10 * penalty * _clipped_cosines(*vectors) / _ORDERS
    return scores


def _all_ngrams(tokens: Sequence[str]) -> Counter[tuple[str, ...]]:
    counts: Counter[tuple[str, ...]] = Counter()
    for n in range(1, _ORDERS + 1):
        counts.update(_ngrams(tokens, n))
    return counts


def _clipped_cosines(hyp: Mapping[tuple[str, ...], float], ref: Mapping[tuple[str, ...], float]) -> float:
    """Sum over orders of the cosine whose hypothesis weights are clipped to the reference's."""
    dot, hyp_norm, ref_norm = np.zeros(_ORDERS), np.zeros(_ORDERS), np.zeros(_ORDERS)
    for gram, weight in hyp.items():
        n = len(gram) - 1
        hyp_norm[n] += weight**2
        other = ref.get(gram, 0.0)
        dot[n] += min(weight, other) * other
    for gram, weight in ref.items():
        ref_norm[len(gram) - 1] += weight**2
    norm = np.sqrt(hyp_norm * ref_norm)
    return float(np.sum(np.divide(dot, norm, out=dot.copy(), where=norm > 0)))
