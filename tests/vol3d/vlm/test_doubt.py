import pytest
import torch

from tests.vol3d.vlm.tiny import visual
from vol3d.vlm.model import VisionLanguageModel
from vol3d.vlm.prompt import DOUBTFUL

PREFIX = "scan <volume>\n"
QUESTIONS = ("how many? ", "left or right? ", "big? ")


def test_doubt_is_the_probability_of_opening_the_reply_as_doubtful_does(tiny_model: VisionLanguageModel) -> None:
    """By hand: the whole forward, and the softmax at the end of the question."""
    visuals = (visual(),)
    prefix = tiny_model.encode_prefix(PREFIX, visuals)
    said = tiny_model.answer_many(prefix, QUESTIONS, max_new_tokens=3)
    chosen = tiny_model.answer_many(prefix, QUESTIONS, choices=[["yes", "no"]] * 3)
    for question, reply, choice in zip(QUESTIONS, said, chosen, strict=True):
        ids = torch.cat([tiny_model.prefix_ids(PREFIX, visuals), tiny_model.ids(question)])
        logits = tiny_model.language(inputs_embeds=tiny_model.embed(ids, visuals)[None]).logits[0, -1].detach()
        wanted = float(logits.softmax(-1)[tiny_model.ids(DOUBTFUL)[0]])
        assert reply.doubt == pytest.approx(wanted, abs=1e-5)
        assert choice.doubt == pytest.approx(wanted, abs=1e-5)
    assert len({round(reply.doubt, 6) for reply in said}) == 3
