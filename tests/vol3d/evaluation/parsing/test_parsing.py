"""What real models write, and what it decides. The first cases of each table are the published scorers' known mistakes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol3d.evaluation.vqa import parse_category, parse_choice, parse_number, parse_quantity, parse_yes_no, read_options

CHOICES = [
    ("Based on the CT, the answer is C", "C"),
    ("Answer: C", "C"),
    ("Definitely B", "B"),
    ("B", "B"),
    ("(b)", "B"),
    ("b.", "B"),
    ("**B**", "B"),
    ("B. 12 cm3", "B"),
    ("Option B", "B"),
    ("The correct answer is option (D).", "D"),
    ("I choose B", "B"),
    (r"The result is \boxed{B}", "B"),
    ("<answer>B</answer>", "B"),
    ('{"answer": "B"}', "B"),
    ('```json\n{"choice": "D"}\n```', "D"),
    ("Final answer: C", "C"),
    ("A lesion is seen", None),
    ("A large tumour, so C", "C"),
    ("A or B", None),
    ("The answer is A or B", None),
    ("Both A and B", None),
    ("not A but C", "C"),
    ("The correct answer is not A.", None),
    ("E", None),
    ("I cannot answer", None),
    ("Hepatitis B", None),
    ("Vitamin D deficiency", None),
    ("Child-Pugh class C", None),
    ("A, B, C, D", None),
    ("A. 12\nB. 14\nC. 15\nD. 16\nAnswer: B", "B"),
    ("A. 12\nB. 14", None),
    ("<think>A?</think>C", "C"),
    ("A looks right at first.</think> D", "D"),
    ("<think>A A", None),
    ("The answer is B. Wait, actually the answer is C.", "C"),
    ("The answer is B. The answer is C.", None),
    ("A is wrong, so B.", "B"),
    ("C is correct.", "C"),
    ("CT shows disease", None),
    ("Dense lesion", None),
    ("", None),
    ("[ERROR] CUDA out of memory", None),
    ("Answer: (A) left kidney", "A"),
    ("The answer is A", "A"),
    ("The best option is A because it is large", "A"),
    ("Answer: a lesion", None),
    ("The answer is a lesion in the liver", None),
    ("D) none of these", "D"),
    ("Because the spleen is big: C", "C"),
    ("Choice C: moderate", "C"),
    ("I would go with D.", "D"),
    ("answer is\n\nB", "B"),
    ("I think A is the best answer", "A"),
    ("Between A and C, I pick C", "C"),
    ("C5 vertebra", None),
    ("B<|im_end|>", "B"),
    ("(b) left lung", "B"),
    ("a lesion in the liver", None),
]

YES_NO = [
    ("Normal", None),
    ("nodule present", True),
    ("Nodules", None),
    ("Noticeable mass present", True),
    ("November", None),
    ("Yes", True),
    ("no.", False),
    ("**Yes**", True),
    ("Y", True),
    ("Yes, in segment 4", True),
    ("No lesion is seen.", False),
    ("No nodule present", False),
    ("There is a lesion", True),
    ("There is no lesion", False),
    ("Answer: No", False),
    ("The answer is yes.", True),
    ("true", True),
    ("Yes and no", None),
    ("yes/no", None),
    ("unknown", None),
    ("Possibly", None),
    ("No doubt, yes", True),
    ("Not seen", False),
    ("absent", False),
    ("no evidence of tumour", False),
    ("Yes, a 3 cm lesion with no calcification.", True),
    ("Yes, there is no lesion", None),
    ("I cannot say yes or no", None),
    ("I don't know", None),
    ("The spleen is not enlarged.", False),
    ("The spleen is enlarged", True),
    ("A cyst is seen, no tumour", None),
    ("yes. Wait, actually no.", False),
    ("It isn't present", False),
    ("Is there a tumour?", None),
    ("[ERROR] timeout", None),
    ("", None),
]

NUMBERS = [
    ("1,234.5", 1234.5),
    ("10-20", None),
    ("1.2e3", 1200.0),
    ("1.2 x 10^3", 1200.0),
    ("-35 HU", -35.0),
    ("−35", -35.0),
    ("12 cm3", 12.0),
    ("12 cm^3", 12.0),
    ("12mm", 12.0),
    ("3-mm nodule", 3.0),
    ("about 12.5 mL", 12.5),
    ("12,5 cm", 12.5),
    ("1.234,5", 1234.5),
    ("12 ± 3", 12.0),
    ("10 to 20", None),
    ("between 10 and 20", None),
    (">5", None),
    ("at least 3", None),
    ("2 x 3 cm", None),
    ("three lesions", 3.0),
    ("zero", 0.0),
    ("one of the lesions", None),
    ("T1", None),
    ("L1 vertebra", None),
    ("50%", 50.0),
    (".5", 0.5),
    ("5.", 5.0),
    ("3/4", None),
    ("Answer: 42. The liver is 1500 ml.", 42.0),
    ("Segment 4 lesion measures 12 mm", 12.0),
    ("12.5 cm3 (12500 mm3)", 12.5),
    ("7 lesions in 3 segments", None),
    ("volume = 33.2 cubic centimeters", 33.2),
    ("2024-01-05", None),
    ("nan", None),
    ("I cannot measure it", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "letter"), CHOICES)
def test_choice(text, letter):
    assert parse_choice(text) == letter


@pytest.mark.parametrize(("text", "answer"), YES_NO)
def test_yes_no(text, answer):
    assert parse_yes_no(text) is answer


@pytest.mark.parametrize(("text", "value"), NUMBERS)
def test_number(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize(
    ("text", "options", "letter"),
    [
        ("It is unresectable.", ["resectable", "borderline resectable", "unresectable"], "C"),
        ("borderline resectable", ["resectable", "borderline resectable", "unresectable"], "B"),
        ("This tumour is not resectable", ["resectable", "unresectable"], None),
        ("The volume is 12 cm3", ["2 cm3", "12 cm3", "112 cm3", "12.5 cm3"], "B"),
        ("B. right kidney", ["left kidney", "right kidney"], "B"),
        ("B. left kidney", ["left kidney", "right kidney"], None),
        ("E", "ABCDE", "E"),
        ("Not covered: no expert measured left kidney in this scan.", ["left kidney", "right kidney"], None),
    ],
)
def test_choice_by_the_words_of_an_option(text, options, letter):
    assert parse_choice(text, list(options) if isinstance(options, str) else options) == letter


def test_lenient_takes_the_most_likely_reading():
    assert parse_choice("A. 12\nB. 14", mode="lenient") == "B"
    assert parse_yes_no("There is possibly a lesion present", mode="lenient") is True
    assert parse_number("10-20 mm", mode="lenient") == 15.0
    assert parse_number(">5", mode="lenient") == 5.0
    assert parse_number("no lesions", mode="lenient") == 0.0


def test_units_are_converted_and_wrong_dimensions_refused():
    assert parse_number("12500 mm3", unit="cm3") == 12.5
    assert parse_number("1.5 litres", unit="ml") == 1500.0
    assert parse_number("2.5 cm", unit="mm") == 25.0
    assert parse_number("2.5 cm", unit="ml") is None
    assert parse_number("2.5", unit="ml") == 2.5
    assert parse_quantity("30 Hounsfield units").unit == "hu"


def test_categories_win_nothing_by_substring():
    stages = ["resectable", "borderline resectable", "unresectable"]
    assert parse_category("Unresectable.", stages) == "unresectable"
    assert parse_category("unresectabl", stages) is None
    assert parse_category("resectable or unresectable", stages) is None


def test_options_are_read_from_the_question():
    assert read_options("Which?\nA. 12.5 cm3\nB. 14 cm3\nC. 9 cm3\nD. 20 cm3") == {"A": "12.5 cm3", "B": "14 cm3", "C": "9 cm3", "D": "20 cm3"}


@given(
    st.sampled_from("ABCD"),
    st.sampled_from(["{}", "({})", "Answer: {}", "The answer is {}.", "{}.", "**{}**", "I choose option {}", r"\boxed{{{}}}"]),
)
def test_every_usual_form_names_its_letter(letter, form):
    assert parse_choice(form.format(letter)) == letter


@given(
    st.floats(-1e6, 1e6).map(lambda v: round(v, 3)),
    st.sampled_from(["{:.3f}", "{:,.3f}", "The value is {:.3f} HU.", "approximately {:.3f} mm", "{:.9e}"]),
)
def test_every_written_number_is_read_back(value, form):
    assert parse_number(form.format(value)) == pytest.approx(value, abs=1e-3)


@given(st.text(max_size=80))
def test_parsers_never_raise(text):
    assert parse_choice(text) in {None, *"ABCD"}
    assert parse_yes_no(text) in {None, True, False}
    assert parse_number(text) is None or isinstance(parse_number(text), float)
    assert parse_choice(text, mode="lenient") in {None, *"ABCD"}
    assert parse_yes_no(text, mode="lenient") in {None, True, False}
