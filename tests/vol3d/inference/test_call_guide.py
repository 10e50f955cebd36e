"""Whatever a model wants to say, under the guide every call in it is well formed; and what is well formed is not forbidden."""

import random
import string
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from tests.vol3d.inference.test_triggers import card
from vol3d.contracts import ExpertCall, ExpertCard
from vol3d.inference.call_grammar import MOST_ARGUMENTS, CallGrammar, Place
from vol3d.inference.call_guide import CallGuide, Vocabulary
from vol3d.inference.triggers import MAX_CALLS, CallProblem, parse_calls
from vol3d.vlm.decoding import likeliest

CARDS = (
    card("threshold_ct", "lung", "lungs", "lung_left", "bone"),
    card("Totalseg", *(f"organ_{i}" for i in range(117))),
    card("view", "a b", "ä", "x)", "liver"),
    card("whole"),
)
OFFERED = {c.name: c.arguments for c in CARDS}


def train(texts: list[str], size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE like SmolLM2's, whose tokens span what the texts repeat."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=["<end>", "<volume>"]))
    return PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<end>", additional_special_tokens=["<volume>"])


@cache
def byte_level(seed: int) -> tuple[PreTrainedTokenizerFast, Vocabulary]:
    """Merges from well-formed calls and from ones that only look so, in changing order: tokens like `, lung`, `)> <`, `organ_1)>`."""
    chance = random.Random(seed)
    names, arguments = [*OFFERED, "thresh", "other"], [a for c in CARDS for a in c.arguments] + ["lun", "ungs"]
    texts = [
        f"{chance.choice(['', 'I see ', '<'])}<{chance.choice(names)}({', '.join(chance.choices(arguments, k=chance.randint(0, 4)))})>"
        f"{chance.choice(['', ' and <whole()>', ' is <5 mm', '><', 'é ü'])}"
        for _ in range(60)
    ]
    tokenizer = train(texts, chance.choice([300, 600, 1200]))
    return tokenizer, Vocabulary(tokenizer, tokenizer.eos_token_id)


def speak(guide: CallGuide, tokenizer: PreTrainedTokenizerFast, wishes: "Wishes", most: int) -> str:
    """A reply as decoding makes it, with random wishes in place of a model."""
    place, said = guide.start, []
    for step in range(most):
        _, token = likeliest(wishes(said), guide, [place], most - step)
        if int(token) == tokenizer.eos_token_id:
            break
        place = guide.after(place, int(token))
        said.append(int(token))
    return tokenizer.decode(said)


class Wishes:
    """Random log-probabilities that like some tokens best: made of certain letters, or (`liked` empty) the first ones of calls."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, vocabulary: Vocabulary, seed: int, liked: str, push: float) -> None:
        self.draw = torch.Generator().manual_seed(seed)
        self.bonus = torch.zeros(len(tokenizer))
        for i, piece in enumerate(vocabulary.pieces):
            if piece and (set(piece) <= set(liked) if liked else piece[0] == "<" or any(name.startswith(piece) for name in OFFERED)):
                self.bonus[i] = push
        self.bonus[list(tokenizer.all_special_ids)] = push / 2

    def __call__(self, said: list[int]) -> torch.Tensor:
        return (torch.randn(1, len(self.bonus), generator=self.draw) + self.bonus).log_softmax(-1)


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 5),
    draw=st.integers(0, 2**31),
    liked=st.sampled_from(
        ["", "<", "<>", "<(,)> ", string.printable, "<" + string.ascii_letters + "_", "(), >" + string.ascii_letters + "_0123456789"]
    ),
    push=st.sampled_from([0.0, 3.0, 9.0]),
    most=st.integers(1, 120),
    shown=st.integers(0, len(CARDS)),
)
def test_no_wish_makes_a_malformed_call(seed: int, draw: int, liked: str, push: float, most: int, shown: int) -> None:
    tokenizer, vocabulary = byte_level(seed)
    cards = CARDS[:shown]
    guide = CallGuide(vocabulary, {c.name: c.arguments for c in cards})
    text = speak(guide, tokenizer, Wishes(tokenizer, vocabulary, draw, liked, push), most)
    calls = parse_calls(text, cards)
    assert not [c for c in calls if isinstance(c, CallProblem)], text
    assert "<volume>" not in text
    if not cards:
        assert "<" not in text
    for call in calls:
        assert str(call) in text, "no argument twice, and written as calls are written"


def test_the_wishes_above_do_make_calls() -> None:
    tokenizer, vocabulary = byte_level(0)
    guide = CallGuide(vocabulary, OFFERED)
    spoken = [speak(guide, tokenizer, Wishes(tokenizer, vocabulary, s, "", 9.0), 120) for s in range(30)]
    calls = [c for text in spoken for c in parse_calls(text, CARDS)]
    assert len(calls) >= 20
    assert len({c.name for c in calls}) >= 3
    unguided = [speak(Free(tokenizer), tokenizer, Wishes(tokenizer, vocabulary, s, "<(ab", 9.0), 120) for s in range(30)]
    assert any(isinstance(c, CallProblem) for text in unguided for c in parse_calls(text, CARDS))


class Free:
    """A guide that allows everything: what the same wishes make without one."""

    start = None

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.all = torch.arange(len(tokenizer))

    def allowed(self, place: None, left: int) -> torch.Tensor:
        return self.all

    def after(self, place: None, token: int) -> None:
        return None


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 5), data=st.data())
def test_each_well_formed_reply_can_be_said_in_the_tokenizers_own_spelling(seed: int, data: st.DataObject) -> None:
    tokenizer, vocabulary = byte_level(seed)
    guide = CallGuide(vocabulary, OFFERED)
    text = data.draw(st.sampled_from(["", "Let me look: ", "a lesion < 5 mm, ", "x <-950 HU ä "]))
    for _ in range(data.draw(st.integers(1, MAX_CALLS - 1))):  # after the last one there is no `<` at all
        chosen = data.draw(st.sampled_from(CARDS))
        usable = [a for a in chosen.arguments if a not in ("ä", "x)")]
        arguments = data.draw(st.lists(st.sampled_from(usable), min_size=1, max_size=4, unique=True)) if usable else []
        text += str(ExpertCall(chosen.name, tuple(arguments))) + data.draw(st.sampled_from(["", " ", " and ", "<= "]))
    ids, place = tokenizer(text)["input_ids"], guide.start
    for step, token in enumerate(ids):
        assert token in guide.allowed(place, 500 - step).tolist(), (tokenizer.decode(ids[:step]), tokenizer.decode([token]))
        place = guide.after(place, token)
    assert tokenizer.eos_token_id in guide.allowed(place, 1).tolist()


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="<>(), lungs_eftboorgan01234whole", max_size=40))
def test_what_the_grammar_accepts_the_parser_takes(text: str) -> None:
    if CallGrammar(OFFERED).accepts(text):
        assert not [c for c in parse_calls(text, CARDS) if isinstance(c, CallProblem)]


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("<threshold_ct(lung_left, lung)>", True),
        ("<threshold_ct(lung, lung)>", False),
        ("<threshold_ct(lung,bone)>", False),
        ("<threshold_ct()>", False),
        ("<threshold_ct(lung", False),
        ("<whole()>", True),
        ("<whole(lung)>", False),
        ("<volume>", False),
        ("a <5 mm, < -950 <", True),
        ("a << -950", False),
        ("<view(a b)>", True),
        ("<view(ä)>", False),
        ("<whole()>" * MAX_CALLS, True),
        ("<whole()>" * (MAX_CALLS + 1), False),
    ],
)
def test_the_grammar_by_hand(text: str, good: bool) -> None:
    assert CallGrammar(OFFERED).accepts(text) is good


def test_a_call_ends_by_itself_before_it_grows_too_long() -> None:
    grammar = CallGrammar(OFFERED)
    place = grammar.follow(Place(), "<Totalseg(" + ", ".join(f"organ_{i}" for i in range(MOST_ARGUMENTS)))
    assert place is not None
    assert grammar.next_characters(place) == {")"}


def test_a_call_that_cannot_be_closed_in_time_is_not_opened() -> None:
    tokenizer, vocabulary = byte_level(0)
    guide = CallGuide(vocabulary, {"threshold_ct": ("lung", "bone")})
    opened = guide.after(guide.start, tokenizer("<")["input_ids"][0])
    letter = tokenizer("t")["input_ids"][0]
    needed = len("threshold_ct(lung)>")
    assert letter in guide.allowed(opened, needed).tolist()
    assert letter not in guide.allowed(opened, needed - 1).tolist()


def test_what_the_tokenizer_cannot_spell_is_not_offered() -> None:
    spell = Tokenizer(models.WordLevel({"<end>": 0, **{c: i + 1 for i, c in enumerate("<>(), _abcdeghlnoprstu?")}}, unk_token="?"))
    spell.pre_tokenizer = pre_tokenizers.Split("", behavior="isolated")
    spell.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=spell, eos_token="<end>")
    vocabulary = Vocabulary(tokenizer, 0)
    assert not vocabulary.spells("lung_left")
    text = speak(CallGuide(vocabulary, {"tho": ("lung", "lung_left")}), tokenizer, Wishes(tokenizer, vocabulary, 1, "<tholung()>", 9.0), 60)
    assert {c.arguments for c in parse_calls(text, [card("tho", "lung", "lung_left")])} <= {("lung",)}


def test_a_model_of_random_weights_writes_no_malformed_call(tmp_path) -> None:
    from tests.vol3d.vlm.tiny import tiny_config, write_tiny_language
    from vol3d.vlm.model import VisionLanguageModel

    torch.manual_seed(3)
    model = VisionLanguageModel.from_config(tiny_config(write_tiny_language(tmp_path, extra="<>_"))).eval()
    shown: list[ExpertCard] = [card("tho", "lung", "bone")]
    texts = [model.say("scan\n", None, f"how {n}?", cards=shown, max_new_tokens=40)[0] for n in range(12)]
    assert all(isinstance(c, ExpertCall) for text in texts for c in parse_calls(text, shown))
    assert "<" in model.text_tokenizer.get_vocab()
    assert all("<" not in model.say("scan\n", None, f"how {n}?", cards=[], max_new_tokens=40)[0] for n in range(4))


def test_a_guide_that_forbids_nothing_wanted_changes_neither_text_nor_probability(tiny_reply) -> None:
    free, guided = tiny_reply
    assert guided == free


@pytest.fixture
def tiny_reply(tmp_path):
    from tests.vol3d.vlm.tiny import tiny_config, write_tiny_language
    from vol3d.vlm.model import VisionLanguageModel

    torch.manual_seed(0)
    model = VisionLanguageModel.from_config(tiny_config(write_tiny_language(tmp_path))).eval()  # it has no `<` to say
    free, guided = (model.say("scan\n", None, "how?", cards=cards, max_new_tokens=8) for cards in (None, [card("tho", "lung")]))
    assert free[0]
    return free, guided
