"""The module for `deeptumorvqa-eval --backend custom`."""

from argparse import Namespace
from importlib.util import find_spec

import pytest

from vol3d.errors import MissingExtraError
from vol3d.evaluation.deeptumorvqa_backend import build_evaluator, question_of


def test_the_question_is_found_in_the_benchmarks_prompt():
    prompt = "You are given the full 3D abdominal CT volume (NIfTI, native voxel spacing).\nPatient: sex=M, age=60.\nVoxel spacing (mm): 1 1 1.  Volume shape: 9 9 9.\nHow many? A. 1 B. 2\nAnswer with ONLY the single letter (A, B, C, or D)."
    assert question_of(prompt) == "How many? A. 1 B. 2\nAnswer with ONLY the single letter (A, B, C, or D)."


@pytest.mark.skipif(find_spec("deeptumorvqa") is not None, reason="the evaluator is installed")
def test_without_the_evaluator_it_says_how_to_get_it():
    with pytest.raises(MissingExtraError, match="pip install"):
        build_evaluator(Namespace(model="demo"))
