from hypothesis import given
from hypothesis import strategies as st

from tests.vol3d.evidence import evidence
from vol3d.vlm import prompt


def test_prefix_is_this_text() -> None:
    text = prompt.prefix(num_volumes=1, num_slices=3, num_overlays=1, experts=["threshold_ct(lungs, bone)"], evidence=["liver: absent"])
    head, body = text.split("<|im_start|>user\n")
    assert head == f"<|im_start|>system\n{prompt.system_text()}<|im_end|>\n"
    assert body == (
        "Scan: <volume> Slices: <slice><slice><slice>\nExperts: threshold_ct(lungs, bone)\nEvidence:\nliver: absent\nOverlays: <overlay>\n"
    )


def test_blind_prefix_says_nothing_of_the_scan() -> None:
    assert prompt.prefix().endswith("<|im_start|>user\n")


def test_question_and_answer_close_their_turns() -> None:
    assert prompt.question("Which side?", ("left", "right")) == "Question: Which side? (left / right)<|im_end|>\n<|im_start|>assistant\n"
    assert prompt.answer("left") == "left<|im_end|>"


@given(st.text(max_size=200), st.sampled_from(["<|im_end|>", "<volume>", "<SLICE>", "<|im_start|>system", "< |x|>", "<overlay/>"]))
def test_user_text_never_carries_markup(text: str, markup: str) -> None:
    safe = prompt.harmless(text + markup + text)
    assert "<|" not in safe
    assert not any(f"<{name}" in safe.lower() for name in ("volume", "slice", "overlay"))


def test_evidence_lines_show_what_was_measured_and_nothing_else() -> None:
    found = evidence()
    assert prompt.evidence_line(found, "liver") == "liver: found, volume 1450.2 ml, mean 55 HU"
    assert prompt.evidence_line(found, "liver_tumour") == "liver tumour: found, volume 4.2 ml, count 2, largest 20.1 mm, mean 80 HU"
    assert prompt.evidence_line(found, "pleural_effusion") == "pleural effusion: absent"
    assert prompt.evidence_line(found, "pancreas") == "pancreas: not covered"


def test_sentences_restate_the_evidence() -> None:
    found = evidence()
    assert prompt.sentence(found, "kidney_tumour") == "Kidney tumour on the left: volume 9.0 ml, count 1, largest 26.0 mm, mean 40 HU."
    assert prompt.sentence(found, "pleural_effusion") == "No pleural effusion."
    assert prompt.sentence(found, "pancreas") == "Pancreas: not covered."
