import pytest

from tests.vol3d.evidence import evidence, m
from vol3d.contracts import Evidence, Status
from vol3d.inference.grounding import check_answer, check_sentence, mentioned
from vol3d.vlm.prompt import evidence_line, sentence

NAMES = [
    "pancreas_lesion",
    "liver",
    "liver_tumour",
    "kidney_left",
    "kidney_right",
    "kidney_tumour",
    "pleural_effusion",
    "pancreas",
    "lung_left",
    "lung_right",
]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("How large is the left kidney?", ("kidney_left",)),
        ("Compare the kidneys.", ("kidney_left", "kidney_right")),
        ("Is there a liver tumor?", ("liver_tumour",)),
        ("Is there a liver tumour in the liver?", ("liver", "liver_tumour")),
        ("Any pleural effusions?", ("pleural_effusion",)),
        ("Which lung is larger?", ("lung_left", "lung_right")),
        ("Is there a renal mass?", ("kidney_tumour",)),
        ("Are there hepatic tumors?", ("liver_tumour",)),
        ("Is there a pancreatic cancer?", ("pancreas_lesion",)),
        ("Is the renal artery narrow?", ()),
        ("Is there lung cancer?", ()),
        ("Is the left kidney small, or is there a liver laceration?", ("kidney_left",)),
        ("Is there a liver abscess in the liver?", ("liver",)),
        ("What is the weather?", ()),
        ("delivery of livers", ("liver",)),
    ],
)
def test_structures_named_in_a_question(text: str, names: tuple[str, ...]) -> None:
    assert mentioned(text, NAMES) == names


@pytest.mark.parametrize(
    ("text", "structures", "verdict"),
    [
        ("1450.2 ml", ["liver"], "supported"),
        ("1450.3 ml", ["liver"], "unsupported"),
        ("1450.2 ml", ["pancreas"], "unsupported"),
        ("not covered", ["pancreas"], "not_covered"),
        ("not covered", ["liver"], "contradicted"),
        ("yes", ["liver_tumour"], "supported"),
        ("no", ["liver_tumour"], "contradicted"),
        ("No.", ["pleural_effusion"], "supported"),
        ("yes", ["pleural_effusion"], "contradicted"),
        ("yes", ["spleen"], "supported"),
        ("no", ["spleen"], "contradicted"),
        ("left", ["kidney_tumour"], "supported"),
        ("right", ["kidney_tumour"], "contradicted"),
        ("a dragon", ["liver"], "unsupported"),
        ("2", ["liver_tumour"], "supported"),
    ],
)
def test_answers_are_held_against_the_evidence(text: str, structures: list[str], verdict: str) -> None:
    assert check_answer(text, structures, evidence()).verdict == verdict


def test_a_supported_number_names_its_measurement() -> None:
    finding = check_answer("20.1 mm", ["liver_tumour"], evidence())
    assert [item.id for item in finding.measurements] == ["liver_tumour/all/longest_axial_diameter"]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("Liver: volume 1450.2 ml, mean 55 HU.", "supported"),
        ("Liver: volume 1450.2 ml, mean 65 HU.", "unsupported"),
        ("No pleural effusion.", "supported"),
        ("Pleural effusion is seen.", "contradicted"),
        ("No liver tumour.", "contradicted"),
        ("Kidney tumour on the left: volume 9.0 ml.", "supported"),
        ("Kidney tumour on the right: volume 9.0 ml.", "contradicted"),
        ("Pancreas: not covered.", "not_covered"),
        ("Liver: not covered.", "contradicted"),
        ("The weather is fine.", "unsupported"),
    ],
)
def test_sentences_are_held_against_the_evidence(text: str, verdict: str) -> None:
    assert check_sentence(text, evidence()).verdict == verdict


@pytest.mark.parametrize("text", ["The liver is found in lung tissue.", "Liver: metastatic disease.", "Liver: volume 1450.2 ml, malignant."])
def test_words_that_nobody_measured_are_not_supported(text: str) -> None:
    assert check_sentence(text, evidence()).verdict == "unsupported"


def test_a_finding_on_both_sides_is_on_neither() -> None:
    sides = (m("pleural_effusion", "side", "right", ""), m("pleural_effusion", "side", "right", "", 1), m("pleural_effusion", "side", "left", "", 2))
    both = Evidence((m("pleural_effusion", "volume", 900.0, "ml"), *sides), (), statuses={"pleural_effusion": Status.FOUND})
    assert sentence(both, "pleural_effusion") == "Pleural effusion: volume 900.0 ml."
    assert "side" not in evidence_line(both, "pleural_effusion")
    assert check_answer("right", ["pleural_effusion"], both).verdict != "supported"
    assert check_sentence("Pleural effusion on the right: volume 900.0 ml.", both).verdict == "contradicted"
    assert check_sentence("Pleural effusion: volume 900.0 ml.", both).verdict == "supported"


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("right, by 7.3 ml", "supported"),
        ("Right, by 7.3 ml.", "supported"),
        ("left, by 7.3 ml", "contradicted"),
        ("right, by 7.4 ml", "contradicted"),
    ],
)
def test_a_comparison_needs_the_right_side_and_the_right_difference(text: str, verdict: str) -> None:
    measured = (m("kidney_left", "larger_kidney", "right", ""), m("kidney_left", "kidney_volume_difference", 7.32, "ml"))
    both = Evidence(measured, (), statuses={"kidney_left": Status.FOUND, "kidney_right": Status.FOUND})
    finding = check_answer(text, ["kidney_left", "kidney_right"], both)
    assert finding.verdict == verdict
    assert finding.measurements[0].value == 7.32
