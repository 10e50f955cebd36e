import numpy as np
import pytest

from tests.vol3d.vlm.test_compose import CONVERSATION, MODALITY, SPOILED
from vol3d.errors import ConfigError
from vol3d.vlm.compose import Condition
from vol3d.vlm.dataset import ConversationGroups, choose_turns


class OneScan:
    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int):
        return CONVERSATION, None


def keep(prefix, visuals, branches):
    """The parts of a group before they become token ids."""
    return prefix, tuple(visuals), tuple(branches)


def test_an_item_is_a_function_of_its_index() -> None:
    groups = ConversationGroups(OneScan(), keep, draws=40, conditions={"evidence": 1.0, "blind": 1.0})
    assert [groups[i] for i in range(40)] == [groups[i] for i in range(40)]
    assert len({groups[i][0] for i in range(40)}) > 1


def test_without_evidence_no_number_is_trained() -> None:
    chosen = choose_turns(CONVERSATION, Condition.IMAGE, 8, np.random.default_rng(0))
    assert chosen == [MODALITY]


def test_a_condition_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="conditions"):
        ConversationGroups(OneScan(), keep, conditions={"x-ray eyes": 1.0})


def test_wrong_evidence_is_drawn_only_where_evidence_is_shown_and_only_as_often_as_asked() -> None:
    class Spoiled(OneScan):
        def __getitem__(self, index: int):
            return SPOILED, None

    def doubts(share: float, condition: str) -> int:
        groups = ConversationGroups(Spoiled(), keep, draws=60, conditions={condition: 1.0}, wrong_share=share)
        return sum(reply == "doubtful<|im_end|>" for i in range(60) for _, reply in groups[i][2])

    assert doubts(0.0, "evidence") == doubts(1.0, "blind") == 0
    assert 20 < doubts(1.0, "evidence") < 60
