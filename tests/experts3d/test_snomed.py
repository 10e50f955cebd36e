"""Codes of structures: unique, well formed, and with the side said once."""

import pytest

from experts3d.label_table import load_table
from experts3d.snomed import SIDES, _table, concept, morphology, snomed_codes

# Verhoeff's tables: SNOMED CT identifiers carry a check digit, so a mistyped code is seen.
_TIMES = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 2, 3, 4, 0, 6, 7, 8, 9, 5], [2, 3, 4, 0, 1, 7, 8, 9, 5, 6], [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
          [4, 0, 1, 2, 3, 9, 5, 6, 7, 8], [5, 9, 8, 7, 6, 0, 4, 3, 2, 1], [6, 5, 9, 8, 7, 1, 0, 4, 3, 2], [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
          [8, 7, 6, 5, 9, 3, 2, 1, 0, 4], [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]]  # fmt: skip
_MOVES = [[0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [1, 5, 7, 6, 2, 8, 3, 0, 9, 4], [5, 8, 0, 3, 7, 9, 6, 1, 4, 2], [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
          [9, 4, 5, 3, 1, 2, 6, 8, 7, 0], [4, 2, 8, 6, 5, 7, 3, 9, 0, 1], [2, 7, 9, 3, 8, 0, 6, 4, 1, 5], [7, 0, 4, 6, 9, 1, 3, 2, 5, 8]]  # fmt: skip


def valid(code: str) -> bool:
    check = 0
    for place, digit in enumerate(reversed(code)):
        check = _TIMES[check][_MOVES[place % 8][int(digit)]]
    return check == 0


def test_the_check_digit_finds_a_wrong_digit():
    assert valid("80891009")
    assert not valid("80891008")
    assert not valid("88091009")


@pytest.mark.parametrize("code", [*(item.code for item in _table().values()), *SIDES.values(), "272741003", "367643001", "108369006", "41699000"])
def test_every_code_has_the_right_check_digit(code: str):
    assert valid(code)


def test_no_two_structures_share_a_concept():
    names = load_table("totalseg").values()
    codes = snomed_codes(names)
    assert len(set(codes.values())) == len(codes)
    assert set(names) - set(codes) == {"hip_left", "hip_right", "kidney_cyst_left", "kidney_cyst_right"}


def test_the_side_is_in_the_code_or_beside_it():
    assert str(concept("adrenal_gland_left")) == "12003004"
    assert str(concept("scapula_right")) == "79601000:272741003=24028007"
    assert concept("rib_left_11") != concept("rib_right_11")
    assert concept("bone_lesion") is None
    assert (morphology("kidney_cyst_left").meaning, morphology("kidney_cyst_left").side) == ("Cyst", "left")
    assert morphology("lymph_node") is None
