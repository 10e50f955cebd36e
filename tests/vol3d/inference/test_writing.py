"""A report keeps only sentences that the evidence supports; the writer is scripted, the evidence is written out."""

import numpy as np
import torch

from tests.vol3d.evidence import evidence
from vol3d.contracts import Evidence, Status
from vol3d.inference.expert_loop import Session
from vol3d.inference.writing import worth_writing, write_report
from vol3d.vlm.fuse import Visual
from vol3d.vlm.view import Visuals
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume


class Paper(Session):
    """A session without a scan behind it: the evidence is there, and there is nothing to look at."""

    def __init__(self) -> None:
        self.evidence = evidence()
        self.volume = Volume(np.zeros((2, 2, 2), np.int16), make_affine((1, 1, 1)), "CT", "HU", "scan.nii")

    def look(self, structures):
        return Visuals(Visual("volume", torch.zeros(18, 1, 1, 1), torch.eye(4)), ())


class Writer:
    """Says something false, something that nobody measured, and one true sentence."""

    def __init__(self, impression: str) -> None:
        self.impression = impression

    def say(self, prefix, visuals, question):
        if "Impression" in question:
            return self.impression, 0.9
        return "No liver tumour. Liver: volume 1450.2 ml, mean 55 HU. Spleen: volume 999.9 ml.", 0.9


def test_false_sentences_are_replaced_by_measured_ones() -> None:
    report = write_report(Paper(), Writer("Liver tumour, kidney tumour."), [])
    assert "No liver tumour." not in report.findings
    assert "999.9" not in report.findings
    assert "Liver tumour: volume 4.2 ml, count 2, largest 20.1 mm, mean 80 HU." in report.findings
    assert "Liver: volume 1450.2 ml, mean 55 HU." in report.findings
    assert all(claim.measurement_id for claim in report.claims if claim.verdict == "supported" and "No " not in claim.text)
    assert any(step.call == "check" and "999.9" in step.detail for step in report.trace)


def test_an_impression_that_denies_what_was_found_is_replaced() -> None:
    report = write_report(Paper(), Writer("No liver tumour, no kidney tumour."), [])
    assert report.impression == "Liver tumour, kidney tumour."


def test_what_nobody_looked_at_is_said() -> None:
    report = write_report(Paper(), Writer("Liver tumour, kidney tumour."), [])
    assert [claim.text for claim in report.claims if claim.verdict == "not_covered"] == ["Pancreas: not covered."]


class Doubter:
    """Doubts every group that holds the spleen, and repeats what was measured on all others."""

    def say(self, prefix, visuals, question):
        return ("doubtful", 0.9) if "spleen" in question else ("Liver: volume 1450.2 ml, mean 55 HU.", 0.9)


def test_a_doubt_is_pinned_on_the_structure_that_does_not_fit() -> None:
    report = write_report(Paper(), Doubter(), [])
    doubted = [claim for claim in report.claims if claim.verdict == "doubtful"]
    assert [claim.text for claim in doubted] == ["Spleen: volume 400.0 ml (doubtful)."]
    assert doubted[0].text in report.findings


def test_a_tumour_known_by_its_side_is_told_once() -> None:
    statuses = dict.fromkeys(["kidney_tumour", "kidney_tumour_left", "kidney_left", "liver_tumour"], Status.FOUND)
    assert worth_writing(Evidence((), (), statuses=statuses)) == ["kidney_tumour_left", "liver_tumour", "kidney_left"]
