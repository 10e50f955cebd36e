"""A chat model behind a real local server, with real experts on a procedural scan: only the server's lines are recorded."""

import base64
import io
import json
import logging
import socket
import threading
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from experts3d.cards import load_expert
from experts3d.panel import Panel
from tests.vol3d.chat_server import ChatServer, call, calls
from vol3d.cli.main import main
from vol3d.contracts import Answer
from vol3d.errors import ConfigError, ResourceError
from vol3d.inference.chat_endpoint import ChatEndpoint, endpoint_from
from vol3d.inference.chat_loop import ChatModel
from vol3d.inference.pipeline import answer_question, ask, open_session, report
from vol3d.volume.phantom import phantom_ct
from vol3d.volume.write import write_volume

QUESTION = "How large is the left lung?"
LEFT = {"structures": ["lung_left"]}


@pytest.fixture(scope="module")
def volume():
    return phantom_ct(3, shape_zyx=(40, 64, 72), spacing_mm=(7.0, 6.0, 6.0), region="chest", lesions=()).volume


@pytest.fixture(scope="module")
def experts():
    return Panel([load_expert("threshold_ct")], cache=None)


@pytest.fixture(scope="module")
def millilitres(volume, experts) -> float:
    session = open_session(volume, model=ChatModel(endpoint_from("openai:http://localhost/v1#m")), experts=experts)
    from vol3d.contracts import ExpertCall

    session.gather(ExpertCall("threshold_ct", ("lung_left",)), [], by="test")
    return float(session.evidence.find("lung_left", "volume").value)


def asked(server: ChatServer, volume, experts, *, question: str = QUESTION, slices: int = 0, choices=(), **settings) -> Answer:
    model = ChatModel.from_spec(server.spec, slices=slices, pause_s=0.01, **settings)
    answer = ask(volume, question, model=model, experts=experts, choices=choices)
    assert not server.objections
    return answer


def steps(answer: Answer) -> list[tuple[str, str]]:
    return [(step.call, step.status) for step in answer.trace]


def test_a_tool_call_brings_evidence_and_the_answer_rests_on_it(volume, experts, millilitres) -> None:
    with ChatServer(calls(call("threshold_ct", LEFT)), f"{millilitres:.1f} ml") as server:
        answer = asked(server, volume, experts)
        path, headers, first = server.requests[0]
        told = server.told(1)
    assert (answer.status, answer.value, answer.unit) == ("answered", millilitres, "ml")
    assert answer.evidence[0].mask_id.startswith("threshold_ct")
    assert steps(answer) == [("model", "said"), ("<threshold_ct(lung_left)>", "found"), ("model", "said")]
    assert path == "/v1/chat/completions"
    assert "Authorization" not in headers
    assert [tool["function"]["name"] for tool in first["tools"]] == ["threshold_ct"]
    assert "lung_left" in json.dumps(first["tools"])
    assert f"Question: {QUESTION}" in first["messages"][1]["content"]
    assert told[0].startswith("left lung: found, volume")
    assert f"{millilitres:.1f} ml" in told[0]


def test_two_calls_in_one_answer_and_several_hops(volume, experts, millilitres) -> None:
    both = calls(call("threshold_ct", LEFT, "a"), call("threshold_ct", {"structures": ["bone", "fat"]}, "b"), content="Let me measure.")
    again = calls(call("threshold_ct", {"structures": ["airway"]}, "c"), call("threshold_ct", LEFT, "d"))
    with ChatServer(both, again, f"The volume of the left lung is {millilitres:.1f} ml.") as server:
        answer = asked(server, volume, experts)
        assert len(server.told(1)) == 2
        assert [line.split(":")[0] for line in server.told(1)[1].splitlines()] == ["bone", "fat"]
        assert len(server.told(2)) == 4
    assert answer.status == "answered"
    assert [status for made, status in steps(answer) if made.startswith("<")] == ["found", "found", "found", "reused"]


def test_a_model_that_never_stops_calling_has_its_tools_withheld(volume, experts) -> None:
    with ChatServer(*[calls(call("threshold_ct", LEFT))] * 4) as server:
        answer = asked(server, volume, experts)
        assert ["tools" in body for _, _, body in server.requests] == [True, True, True, False]
    assert answer.status == "withheld"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (call("threshold_ct", '{"structures": ["lung_left"'), "not JSON"),
        (call("threshold_ct", '["lung_left"]'), 'takes {"structures": [...]}'),
        (call("threshold_ct", {"structures": ["lung"]}), "has no argument 'lung'; it takes"),
        (call("threshold_ct", {"structures": []}), "Write <threshold_ct"),
        (call("vista9d", LEFT), "There is no expert 'vista9d'. Experts: threshold_ct."),
        (call("vista9d", "{"), "There is no expert 'vista9d'"),
        (call("vista9d", {"structures": [1]}), "There is no expert 'vista9d'"),
        (call("threshold_ct", {"structures": 5}), 'takes {"structures": [...]}'),
        (call("threshold_ct", "[" * 100_000), "not JSON"),
        (call("threshold_ct", {"structure": "lung_left"}, None), 'takes {"structures": [...]}'),
        ({"id": "x", "type": "function"}, "There is no expert ''"),
        ("threshold_ct", "There is no expert ''"),
    ],
)
def test_a_call_that_is_none_is_corrected_and_may_be_made_again(volume, experts, millilitres, wrong, says) -> None:
    with ChatServer(calls(wrong), calls(call("threshold_ct", LEFT)), f"{millilitres:.1f} ml") as server:
        answer = asked(server, volume, experts)
        assert says in server.told(1)[0]
        assert "tools" in server.requests[1][2]
    assert answer.status == "answered"
    assert [status for _, status in steps(answer)] == ["said", "refused", "said", "found", "said"]


def test_after_a_second_wrong_call_the_model_has_to_answer(volume, experts) -> None:
    wrong = calls(call("threshold_ct", {"structures": ["lung"]}))
    with ChatServer(wrong, wrong, "about 3 litres", "about 3 litres") as server:
        answer = asked(server, volume, experts)
        assert ["tools" in body for _, _, body in server.requests[:3]] == [True, True, False]
    assert answer.status == "withheld", "the pipeline measured what the question names; the guess is not passed on"
    assert answer.value is None
    assert [status for _, status in steps(answer)].count("refused") == 2


def test_one_wrong_call_does_not_cost_the_right_one_beside_it(volume, experts, millilitres) -> None:
    with ChatServer(calls(call("x", {}, "a"), call("threshold_ct", LEFT, "b")), f"{millilitres:.1f} ml") as server:
        answer = asked(server, volume, experts)
        assert server.told(1)[0].startswith("Not done. There is no expert 'x'")
        assert server.told(1)[1].startswith("left lung: found")
    assert answer.status == "answered"


def test_calls_without_end_in_one_answer_are_cut(volume, experts, millilitres) -> None:
    with ChatServer(calls(*(call("threshold_ct", LEFT, f"c{n}") for n in range(30))), f"{millilitres:.1f} ml") as server:
        answer = asked(server, volume, experts)
        assert sum("Too many calls" in text for text in server.told(1)) == 22
    assert answer.status == "answered"


def test_a_plain_answer_is_checked_like_any_other(volume, experts, millilitres) -> None:
    with ChatServer("9999.0 ml", f"<think>the evidence says so</think>{millilitres:.1f} ml") as server:
        answer = asked(server, volume, experts)
        assert "Evidence:\nleft lung: found, volume" in server.messages(1)[1]["content"]
        assert "tools" not in server.requests[1][2]
    assert (answer.status, answer.value) == ("answered", millilitres), "the pipeline measured what the question names and asked again"
    with ChatServer("9999.0 ml", "9999.0 ml") as server:
        answer = asked(server, volume, experts)
    assert answer.status == "withheld"
    assert "9999" not in answer.text
    with ChatServer("A fine lesion.", "A fine lesion.") as server:
        assert asked(server, volume, experts, question="How is the pancreas?").status == "not_covered"


def test_choices_are_offered_and_the_chosen_one_is_named(volume, experts) -> None:
    with ChatServer(calls(call("threshold_ct", LEFT)), "Yes.") as server:
        answer = asked(server, volume, experts, question="Is the left lung there?", choices=("yes", "no"))
        assert "Options: yes / no" in server.messages(0)[1]["content"]
    assert (answer.status, answer.choice) == ("answered", "yes")


def test_slices_and_then_masks_go_along_as_pictures(volume, experts, millilitres) -> None:
    with ChatServer(calls(call("threshold_ct", LEFT)), f"{millilitres:.1f} ml") as server:
        asked(server, volume, experts, slices=3)
        before, after = (_pictures(server.messages(n)[1]) for n in (0, 1))
    assert len(before) == 3
    assert len(after) > len(before)
    for name, picture in after:
        assert picture.ndim == 3
        assert name
    assert any("lung" in name.lower() for name, _ in after[3:])
    assert any((p.max(-1) != p.min(-1)).any() for _, p in after[3:]), "masks are in colour"
    assert not any((p.max(-1) != p.min(-1)).any() for _, p in before)


def _pictures(message) -> list[tuple[str, np.ndarray]]:
    parts = message["content"]
    out = []
    for caption, part in pairwise(parts):
        if part["type"] == "image_url":
            head, data = part["image_url"]["url"].split(",")
            assert head == "data:image/png;base64"
            out.append((caption["text"], np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))))
    return out


def test_an_expert_that_breaks_is_told_to_the_model_with_the_reason(volume) -> None:
    class Broken:
        card = load_expert("threshold_ct").card

        def segment(self, volume, targets):
            raise RuntimeError("out of memory")

    with ChatServer(calls(call("threshold_ct", LEFT)), "not covered") as server:
        answer = asked(server, volume, Panel([Broken()], cache=None))
        assert "left lung: failed" in server.told(1)[0]
        assert "out of memory" in server.told(1)[0]
    assert (answer.status, answer.text) == ("failed", "Failed: Left lung: segmentation failed (RuntimeError: out of memory).")
    assert [(s.status, "out of memory" in s.detail) for s in answer.trace if s.call.startswith("<")] == [("failed", True)]


def test_a_server_that_is_down_for_a_moment_is_asked_again(volume, experts, millilitres) -> None:
    with ChatServer(500, calls(call("threshold_ct", LEFT)), 429, 503, f"{millilitres:.1f} ml", headers={"Retry-After": "0"}) as server:
        assert asked(server, volume, experts).status == "answered"
        assert len(server.requests) == 5


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([500, 500, 500], "refused: 500 error 500"),
        ([401], "refused: 401"),
        ([302], "refused: 302"),
        ([2.0], "no reply within 0.3 s"),
        ([b"<html>no such page</html>"], "no usable reply"),
        ([b'{"choices": []}'], "no usable reply"),
        ([b'{"choices": [{"message": "yes"}]}'], "message is a str"),
        ([b'{"error": "context length"}'], "no usable reply"),
        ([b""], "no usable reply"),
        ([b"[" * 100_000], "no usable reply"),
    ],
)
def test_a_server_that_fails_is_an_error_of_one_line_without_the_key(volume, experts, lines, says, monkeypatch, caplog) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    with ChatServer(*lines, headers={"Location": "http://127.0.0.1:9/"}) as server, pytest.raises(ResourceError, match=says) as refusal:
        asked(server, volume, experts, timeout_s=0.3 if lines == [2.0] else 60.0)
    assert server.requests[0][1]["Authorization"] == "Bearer sk-very-secret"
    assert "sk-very-secret" not in str(refusal.value) + caplog.text
    assert len(str(refusal.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "no usable reply"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "no usable reply"),
        (b"HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", "refused: 400"),
    ],
)
def test_what_is_no_http_and_what_breaks_off_is_an_error_of_one_line(sent: bytes, says: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_say_and_hang_up, args=(listening, sent), daemon=True).start()
        with pytest.raises(ResourceError, match=says) as refusal:
            ChatEndpoint(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", "m", timeout_s=60.0).complete([])
    assert len(str(refusal.value).splitlines()) == 1


def _say_and_hang_up(listening: socket.socket, sent: bytes) -> None:
    with listening.accept()[0] as connection:
        connection.recv(1 << 16)
        connection.sendall(sent)


def test_addresses_and_keys_that_cannot_be_used_are_refused(monkeypatch) -> None:
    secret = ("openai:http://u:secret@localhost/v1#m", "openai:ftp://u:secret@localhost/v1#m", "openai:http://u:secret@/v1#m")
    broken = ("openai:http://[::1#m", "openai:http://localhost:abc/v1#m", "openai:#m", "openai:file:///etc/passwd#m")
    for spec in ("openai:", "openai:http://localhost/v1", *broken, *secret):
        with pytest.raises(ConfigError) as refusal:
            endpoint_from(spec)
        assert "secret" not in str(refusal.value)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-two\nlines")
    with pytest.raises(ConfigError) as refusal:
        endpoint_from("openai:http://localhost/v1#m")
    assert "sk-two" not in str(refusal.value)
    assert "secret" not in repr(ChatEndpoint("http://localhost/v1", "m", key="secret"))


def test_a_session_belongs_to_its_kind_of_model(volume, experts) -> None:
    from tests.vol3d.inference.test_expert_loop import Scripted
    from vol3d.errors import CheckpointError

    session = open_session(volume, model=ChatModel(endpoint_from("openai:http://localhost/v1#m")), experts=experts)
    with pytest.raises(CheckpointError, match="endpoint"):
        answer_question(session, QUESTION, model=Scripted("yes"))


def test_a_report_is_written_and_every_sentence_checked(volume, experts, millilitres) -> None:
    # The left lung as it was measured; everything else is made up.
    lines = [f"Left lung: volume {millilitres:.1f} ml. Right lung: volume 1.0 ml. Heart: enormous.", *["Bone: volume 2.0 ml."] * 8]
    with ChatServer(*lines) as server:
        written, evidence = report(volume, model=ChatModel.from_spec(server.spec, slices=0), experts=experts)
        assert not server.objections
        assert any("left lung: found, volume" in server.messages(n)[1]["content"] for n in range(len(server.requests)))
    assert written.status == "written"
    assert f"{millilitres:.1f} ml" in written.findings
    assert "lung_left" in evidence.statuses
    assert "enormous" not in written.findings
    assert "volume 1.0 ml" not in written.findings


def test_the_command_line_asks_an_endpoint(volume, capsys, tmp_path, monkeypatch, millilitres) -> None:
    monkeypatch.setenv("VOL3D_CACHE", str(tmp_path / "cache"))
    write_volume(volume, tmp_path / "scan.nii.gz")
    scan = str(tmp_path / "scan.nii.gz")
    with ChatServer(calls(call("threshold_ct", LEFT)), f"{millilitres:.1f} ml") as server:
        assert main(["ask", scan, QUESTION, "--model", server.spec, "--slices", "2", "--json"]) == 0
        assert len(_pictures(server.messages(0)[1])) == 2
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "answered"
    assert answer["value"] == pytest.approx(millilitres, rel=1e-3)
    with ChatServer(404) as server:
        assert main(["ask", scan, QUESTION, "--model", server.spec]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "refused: 404" in error
