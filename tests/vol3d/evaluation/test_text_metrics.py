"""BLEU, CIDEr-D and ROUGE-L equal the reference packages' numbers, which are stored (made once with the packages; see `made_with`)."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol3d.errors import ConfigError
from vol3d.evaluation.text_metrics import bleu, bleu_columns, bleu_of_sums, cider_d, google, longest_common_subsequence, rouge_l, whitespace

GOLDEN = json.loads((Path(__file__).parent / "golden" / "nlg.json").read_text())
REFS, HYPS = GOLDEN["references"], GOLDEN["hypotheses"]


def _lower(text):
    return text.lower().split()


@pytest.mark.parametrize(("recipe", "tokeniser"), [("whitespace", whitespace), ("lower", _lower)])
def test_equal_to_pycocoevalcap(recipe, tokeniser):
    golden = GOLDEN[recipe]
    assert bleu(REFS, HYPS, tokeniser=tokeniser) == pytest.approx(golden["bleu"], abs=1e-9)
    np.testing.assert_allclose(cider_d(REFS, HYPS, tokeniser=tokeniser), golden["cider_each"], atol=1e-9)
    np.testing.assert_allclose(rouge_l(REFS, HYPS, tokeniser=tokeniser, beta=1.2), golden["rouge_l_each"], atol=1e-9)


def test_equal_to_rouge_score():
    np.testing.assert_allclose(rouge_l(REFS, HYPS, tokeniser=google, beta=1.0), GOLDEN["rouge_score_rougeL"], atol=1e-12)


def test_bleu_of_one_pair_by_hand():
    # 3 of 4 words, 1 of 3 bigrams; 4 words against 6: penalty exp(1 - 6/4)
    b1, b2, *_ = bleu(["a b c d e f"], ["a b x c"])
    assert b1 == pytest.approx(3 / 4 * np.exp(-0.5), abs=1e-6)
    assert b2 == pytest.approx((3 / 4 * 1 / 3) ** 0.5 * np.exp(-0.5), abs=1e-6)


def test_columns_of_halves_sum_to_the_corpus():
    columns = bleu_columns(REFS, HYPS, tokeniser=whitespace)
    halves = columns[:20].sum(0) + columns[20:].sum(0)
    np.testing.assert_allclose(bleu_of_sums(halves[None])[0], bleu(REFS, HYPS), rtol=1e-12)


def _lcs_by_table(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            table[i + 1, j + 1] = table[i, j] + 1 if x == y else max(table[i, j + 1], table[i + 1, j])
    return int(table[-1, -1])


@given(st.lists(st.sampled_from("abcd"), max_size=20), st.lists(st.sampled_from("abcd"), max_size=20))
def test_bit_parallel_lcs_equals_the_table(a, b):
    assert longest_common_subsequence(a, b) == _lcs_by_table(a, b)


def test_unequal_lists_are_refused():
    with pytest.raises(ConfigError):
        bleu(["a"], [])
