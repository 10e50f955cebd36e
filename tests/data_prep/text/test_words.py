import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest

from data_prep.text.bank import SentenceBank
from data_prep.text.captions import PHRASES, caption
from data_prep.text.definitions import define, definitions
from data_prep.text.entities import extract_entities
from data_prep.text.facts import compare
from data_prep.text.flip import can_flip, flip_text
from data_prep.text.labels18 import LABELS18, label_report
from data_prep.text.rewrite import ChatEndpoint, rewrite
from data_prep.text.scope import segments
from data_prep.text.sections import split_sections
from data_prep.text.sentences import sentences
from vol3d.errors import ConfigError, ResourceError


def test_sentences_know_decimals_bullets_and_questions() -> None:
    text = 'A 2.5 mm nodule (cyst? scar?) is seen. " Mild emphysema. • Dr. Roe agrees.'
    assert [s.text for s in sentences(text)] == ["A 2.5 mm nodule (cyst? scar?) is seen.", "Mild emphysema.", "Dr. Roe agrees."]
    assert all(text[s.start : s.end] == s.text for s in sentences(text))


def test_sections_by_heading_and_by_shape() -> None:
    headed = split_sections("Technique: 1 mm slices. Findings: No nodule. Impression: Normal.")
    assert (headed.technique, headed.findings, headed.impression) == ("1 mm slices.", "No nodule.", "Normal.")
    free = split_sections('Sections of 1 mm slice thickness were obtained. The lungs are clear. " Normal chest. " No nodule.')
    assert (free.technique, free.findings, free.impression) == (
        "Sections of 1 mm slice thickness were obtained.",
        "The lungs are clear.",
        "Normal chest. No nodule.",
    )
    assert split_sections("Not given.").findings in ("", "Not given.")


def test_statements_are_cut_at_their_verbs() -> None:
    text = "Trachea is open, no mass was detected but nodules are seen."
    assert [text[a:b] for a, b in segments(text)] == ["Trachea is open", "no mass was detected", "nodules are seen."]


def test_entity_carries_place_side_size_and_certainty() -> None:
    entity = next(e for e in extract_entities("A 1.2 x 0.8 cm nodule in the left upper lobe may represent a scar.") if e.finding == "nodule")
    assert (entity.organ, entity.region, entity.side, entity.sizes_mm, entity.assertion) == (
        "lung_upper_lobe",
        "lung",
        "left",
        (12.0, 8.0),
        "uncertain",
    )


@pytest.mark.parametrize("label", LABELS18)
def test_every_phrase_of_a_caption_is_read_back_as_its_label(label: str) -> None:
    for phrase in PHRASES[label]:
        labels = label_report(f"{phrase[:1].upper()}{phrase[1:]} is seen.")
        assert labels[label] == 1, phrase


def test_captions_state_only_the_labels() -> None:
    labels = dict.fromkeys(LABELS18, 0) | {"Emphysema": 1}
    texts = {caption(labels, np.random.default_rng(seed)) for seed in range(20)}
    assert len(texts) > 10
    assert all(label_report(t)["Emphysema"] == 1 and label_report(t)["Consolidation"] == 0 for t in texts)
    with pytest.raises(ConfigError):
        caption({"Gout": 1}, np.random.default_rng(0))


def test_each_label_is_defined() -> None:
    assert tuple(definitions()) == LABELS18
    assert all(len(d.definition) > 30 and len(d.appearance) > 30 for d in definitions().values())
    with pytest.raises(ConfigError):
        define("Gout")


def test_flip_swaps_sides_twice_to_the_same_text() -> None:
    text = "LEFT effusion, right-sided nodule, Left rib."
    assert flip_text(text) == "RIGHT effusion, left-sided nodule, Right rib."
    assert flip_text(flip_text(text)) == text


@pytest.mark.parametrize("text", ["Nodule in the right middle lobe.", "The left ventricle is dilated.", "Calcified LAD."])
def test_flip_refuses_what_exists_on_one_side(text: str) -> None:
    assert not can_flip(text)
    with pytest.raises(ConfigError, match="mirrored"):
        flip_text(text)
    assert not can_flip("Cyst in the liver.", allow_sided_organs=False)


@pytest.mark.parametrize(
    ("before", "after", "same"),
    [
        ("A 12 mm nodule is seen in the right lung.", "The right lung shows a nodule of 1.2 cm.", True),
        ("A 12 mm nodule is seen in the right lung.", "The right lung shows a nodule of 13 mm.", False),
        ("A 12 mm nodule is seen in the right lung.", "The left lung shows a nodule of 12 mm.", False),
        ("No pleural effusion.", "Pleural effusion is seen.", False),
        ("Emphysema is present. No consolidation.", "Emphysema is present.", False),
        ("Emphysema is present.", "Emphysema is present. There is a hiatal hernia.", False),
    ],
)
def test_rewriting_keeps_facts(before: str, after: str, same: bool) -> None:
    assert compare(before, after).same is same
    assert rewrite(before, lambda _: after, max_tries=1).text == (after if same else before)


def test_bank_finds_same_meaning_and_hard_negatives(tmp_path: Path) -> None:
    bank = SentenceBank.from_reports(
        ["Pleural effusion was not observed. Pleural effusion was observed on the left.", "No pleural effusion. Emphysema in both lungs."]
    )
    bank.save(tmp_path / "bank.jsonl")
    loaded = SentenceBank.load(tmp_path / "bank.jsonl")
    assert loaded.entries == bank.entries
    assert [e.text for e in loaded.same_meaning("No pleural effusion.")] == ["Pleural effusion was not observed."]
    assert loaded.hard_negatives("Pleural effusion was not observed.", num=1)[0].text == "Pleural effusion was observed on the left."


def test_endpoint_speaks_chat(monkeypatch: pytest.MonkeyPatch) -> None:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            reply = "Effusion is not seen." if self.headers["Authorization"] == "Bearer k" and body["model"] == "m" else "?"
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": {"content": reply}}]}).encode())

        def log_message(self, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("A_KEY", "k")
    try:
        endpoint = ChatEndpoint(f"http://127.0.0.1:{server.server_port}/v1", "m", key_variable="A_KEY")
        assert rewrite("No effusion.", endpoint).text == "Effusion is not seen."
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    with pytest.raises(ResourceError):
        endpoint("again")
    with pytest.raises(ConfigError):
        ChatEndpoint("localhost", "m")
