"""Numbers of reports against masks: parsing by literals, verdicts by hand, and phantoms, whose own reports agree and whose altered ones do not."""

import json

import pytest

from data_prep.text.entities import extract_entities
from data_prep.text.sentences import sentences
from experts3d.measure import measure
from vol3d.contracts import Measurement, Status
from vol3d.errors import ConfigError
from vol3d.evaluation.number_check import Measured, _Candidate, _candidates, check_report, number_rows, read_measured
from vol3d.evaluation.number_mentions import number_mentions
from vol3d.evaluation.number_ties import named_structures, side_near
from vol3d.volume.phantom import random_phantom


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A nodule of 12 mm.", [("length", (12.0,), "value", "")]),
        ("A 1.2 x 0.9 cm nodule.", [("length", (12.0, 9.0), "value", "")]),
        ("9x12mm", [("length", (12.0, 9.0), "value", "")]),
        ("Nodules of 3-5 mm.", [("length", (3.0, 5.0), "value", "")]),
        ("Effusion of about 1,5 l, mean -12 HU.", [("volume", (1500.0,), "value", ""), ("attenuation", (-12.0,), "value", "")]),
        ("Volume 1450.2 ml and 30 cc, 4 cm3.", [("volume", (v,), "value", "") for v in (1450.2, 30.0, 4.0)]),
        ("A liver of 1,450 ml, an effusion of 1,250.5 ml.", [("volume", (v,), "value", "") for v in (1450.0, 1250.5)]),
        ("Nodes up to 14 mm.", [("length", (14.0,), "largest", "")]),
        ("No node larger than 10 mm.", [("length", (10.0,), "at_least", "")]),
        ("Nodules smaller than 4 mm.", [("length", (4.0,), "at_most", "")]),
        ("A 12 mm nodule (9 mm in the previous scan).", [("length", (12.0,), "value", ""), ("length", (9.0,), "value", "of an earlier examination")]),
        ("A nodule 2 cm from the fissure.", [("length", (20.0,), "value", "a distance, not a size")]),
        ("The volumes differ by 7 ml.", [("volume", (7.0,), "value", "a difference")]),
        ("L1 vertebra, T12, 80 mmHg, 5 mm thick slices, 3 nodules.", []),
    ],
)
def test_numbers_are_read(text, expected):
    assert [(m.quantity, m.values, m.bound, m.skip) for m in number_mentions(text, 0, 0)] == expected


def test_names_and_sides_are_found():
    names = ["kidney_left", "kidney_right", "kidney_tumour", "liver", "liver_tumour"]
    assert [n.structures for n in named_structures("A liver tumor and the right kidney.", names)] == [("liver_tumour",), ("kidney_right",)]
    assert named_structures("Both kidneys.", names)[0].structures == ("kidney_left", "kidney_right")
    assert side_near("A cyst in the left kidney.", 0) == "left"
    assert side_near("A lesion in the left lobe of the liver.", 0) == ""
    assert side_near("Both kidneys, the left one larger.", 0) == ""


def _m(structure, name, value, unit="", component=None, status=Status.FOUND):
    return Measurement(name=name, value=value, unit=unit, structure=structure, component=component, method="by hand", mask_id="m", status=status)


def _nodule(component, longest, across, side, cut=0):
    where = "lung_nodule"
    sizes = [_m(where, "longest_axial_diameter", longest, "mm", component), _m(where, "perpendicular_diameter", across, "mm", component)]
    return [*sizes, _m(where, "side", side, component=component), _m(where, "touches_border", cut, component=component)]


MEASURED = Measured(
    (
        *_nodule(None, 20.0, 16.0, "right"),
        *_nodule(1, 20.0, 16.0, "right"),
        *_nodule(2, 6.0, 5.0, "left"),
        _m("liver", "volume", 1450.0, "ml"),
        _m("liver", "mean_intensity", 55.0, "HU"),
        _m("spleen", "volume", 200.0, "ml"),
        _m("liver_cyst", "volume", 0.0, "ml", status=Status.ABSENT),
    ),
    {"pleural_effusion": Status.NOT_COVERED},
)


def _verdict(text, measured=MEASURED):
    spans = [(s.start, s.end) for s in sentences(text)]
    return [(c.verdict, c.why) for c in check_report(text, measured, spans=spans, extractor=extract_entities)]


AGREE, OTHERWISE = ("agree", ""), ("disagree", "measured otherwise")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A nodule of 20 x 16 mm is seen in the right upper lobe.", AGREE),
        ("A nodule of 2 cm in the right upper lobe.", AGREE),
        ("A nodule of 26 mm in the right upper lobe.", OTHERWISE),
        ("A nodule of 20 x 9 mm in the right upper lobe.", OTHERWISE),
        ("A nodule of 20 mm in the left upper lobe.", OTHERWISE),  # the left one has 6 mm
        ("A nodule of 6 mm in the left upper lobe.", AGREE),
        ("Nodules of 5 to 7 mm.", AGREE),
        ("Nodules of 9 to 15 mm.", OTHERWISE),
        ("Nodules up to 20 mm.", AGREE),
        ("Nodules up to 6 mm.", OTHERWISE),
        ("No nodule larger than 4 mm is seen.", OTHERWISE),
        ("No nodule larger than 25 mm is seen.", AGREE),
        ("The liver has a volume of 1450 ml.", AGREE),
        ("The liver has a volume of 1850 ml.", OTHERWISE),
        ("Liver: volume 1.45 l, mean 57 HU. ", AGREE),
        ("The mean density of the liver is 30 HU.", OTHERWISE),
        ("A 14 mm cyst of the liver.", ("disagree", "the masks have none")),
        ("Pleural effusion of 300 ml.", ("not_measurable", "not covered by the masks")),
        ("The liver measures 18 cm.", ("not_measurable", "lengths of organs are not measured")),
        ("The aorta measures 32 mm.", ("not_measurable", "names nothing that was measured")),
        ("A nodule of 20 mm (12 mm in the previous scan).", AGREE),
    ],
)
def test_verdicts_by_hand(text, expected):
    assert _verdict(text)[0] == expected


def test_the_extent_of_a_structure_on_the_other_side_is_no_candidate():
    """On the left lies an effusion of 20 mm; the consolidation, 60 mm across, is on the right and fits nothing that is said of the left."""

    def part(structure, longest, side):
        return [
            *(_m(structure, "longest_axial_diameter", longest, "mm", c) for c in (None, 1)),
            *(_m(structure, "side", side, component=c) for c in (None, 1)),
            _m(structure, "extent_mm", (10.0, longest * 2, longest), "mm"),
        ]

    measured = Measured((*part("pleural_effusion", 20.0, "left"), *part("consolidation", 30.0, "right")), {})
    assert _candidates(number_mentions("A 60 mm area.", 0, 0)[0], ["pleural_effusion", "consolidation"], "left", measured) == [
        *[_Candidate("pleural_effusion", (20.0,), cut=False)] * 2, _Candidate("pleural_effusion", (40.0, 20.0), cut=False),
    ]  # fmt: skip


def test_of_two_organs_in_a_sentence_each_has_its_number():
    assert _verdict("The liver has 1450 ml and the spleen 200 ml.") == [AGREE, AGREE]
    assert _verdict("The liver has 200 ml and the spleen 1450 ml.") == [OTHERWISE, OTHERWISE]


def test_a_lesion_that_the_scan_cuts_off_is_not_called_wrong():
    cut = Measured((*_nodule(None, 20.0, 16.0, "right", cut=1), *_nodule(1, 20.0, 16.0, "right", cut=1)), {})
    assert _verdict("A nodule of 40 mm.", cut) == [("not_measurable", "the scan cuts it off")]
    assert _verdict("A nodule of 9 mm.", cut) == [OTHERWISE]
    assert _verdict("A nodule of 9 mm.", None) == [("not_measurable", "no measurements of this scan")]


def test_rows_by_hand():
    text = "A nodule of 20 mm. A nodule of 50 mm. The aorta measures 32 mm."
    spans = [(s.start, s.end) for s in sentences(text)]
    checked = check_report(text, MEASURED, spans=spans, extractor=extract_entities)
    rows = {r.metric: r.value for r in number_rows([checked, ()], ["a", "b"], num_resamples=20)}
    assert rows == {
        "numbers/agree_share": 0.5,
        "numbers/measurable_share": pytest.approx(2 / 3),
        "numbers/disagreements_per_report": 0.5,
    }
    assert [r.metric for r in number_rows([()], None)] == ["numbers/disagreements_per_report"]
    assert checked[1].as_record() == {
        "verdict": "disagree", "number": "50 mm", "sentence": "A nodule of 50 mm.", "structure": "lung_nodule", "measured": [20.0, 16.0],
        "unit": "mm", "why": "measured otherwise",
    }  # fmt: skip


def test_a_file_of_something_else_is_refused(tmp_path):
    for name, text in {"a": "{", "b": "[]", "c": '{"measurements": [{"name": 3}]}'}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(ConfigError, match="not the measurements"):
            read_measured(tmp_path / name)
    (tmp_path / "d").write_text(
        json.dumps({"spacing_mm_zyx": [5.0, 0.7, 0.8], "measurements": [{**_m("liver", "volume", 3.0, "ml").model_dump(mode="json"), "id": "x"}]})
    )
    assert read_measured(tmp_path / "d").voxel_mm == 0.8


def _check_phantom(phantom, text, measured):
    spans = [(s.start, s.end) for s in sentences(text)]
    return check_report(text, measured, spans=spans, extractor=extract_entities)


def test_phantom_reports_agree_and_an_altered_number_is_named():
    num_numbers = 0
    for seed in (0, 3):
        phantom = random_phantom(seed, shape_zyx=(96, 128, 128))
        measured = Measured(measure(phantom.volume, phantom.labels), phantom.labels.statuses, max(phantom.volume.spacing_mm[1:]))
        checked = _check_phantom(phantom, phantom.findings, measured)
        assert {c.verdict for c in checked} <= {"agree"}, [c.as_record() for c in checked if c.verdict != "agree"]
        num_numbers += len(checked)
        for one in checked:
            factor = 4.0 if one.mention.quantity == "length" else 10.0
            unit = one.mention.text.rsplit(" ", 1)[1]
            divisor = {"cm": 10.0}.get(unit, 1.0)
            wrong = f"{factor * max(one.mention.values) / divisor:g} {unit}"
            altered = phantom.findings[: one.mention.start] + wrong + phantom.findings[one.mention.end :]
            caught = [c for c in _check_phantom(phantom, altered, measured) if c.mention.start == one.mention.start]
            assert [(c.verdict, c.mention.text) for c in caught] == [("disagree", wrong)] or caught[0].why == "the scan cuts it off"
    assert num_numbers >= 5
