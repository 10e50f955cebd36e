"""An OpenAI-compatible endpoint: a real server on this machine that checks what strict servers check."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from vol3d.errors import ConfigError, ResourceError
from vol3d.evaluation.models.endpoint import Endpoint, Tool
from vol3d.volume.geometry import make_affine
from vol3d.volume.volume import Volume

SCAN = Volume(np.full((6, 8, 8), 40, np.int16), make_affine((3, 1, 1)), "CT", "HU")


class Server:
    """Chat completions: answers B, or calls `measure` once and then reports what it was told."""

    def __init__(self, *, agent=False, status=200, garbage=False):
        self.requests = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((dict(self.headers), body))
                reply = b"<html>" if garbage else json.dumps({"choices": [{"message": outer.reply(body, agent=agent)}]}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reply(self, body, *, agent):
        told = [m for m in body["messages"] if m["role"] == "tool"]
        if not agent or "tools" not in body:
            return {"role": "assistant", "content": "B"}
        if told:
            calls = [c["id"] for m in body["messages"] for c in m.get("tool_calls", [])]
            assert [m["tool_call_id"] for m in told] == calls  # what strict servers insist on
            return {"role": "assistant", "content": f"The answer is {told[-1]['content']}"}
        call = {"id": "call_1", "type": "function", "function": {"name": "measure", "arguments": '{"structure": "liver"}'}}
        return {"role": "assistant", "content": None, "tool_calls": [call]}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


MEASURE = Tool(
    "measure",
    "volume of a structure",
    {"type": "object", "properties": {"structure": {"type": "string"}}},
    lambda scan, a: f"{a['structure']} {scan.shape[0]}",
)


def test_pictures_and_prompt_arrive_and_the_key_stays_out_of_the_settings():
    with Server() as server:
        endpoint = Endpoint(server.url, "m", key="secret", slices=3)
        assert endpoint.answer(SCAN, "Which?") == "B"
        headers, body = server.requests[0]
        assert headers["Authorization"] == "Bearer secret"
        kinds = [part["type"] for part in body["messages"][0]["content"]]
        assert kinds == ["image_url"] * 3 + ["text"]
        assert body["messages"][0]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")
        assert "secret" not in repr(endpoint) + json.dumps(endpoint.settings)
        assert endpoint.answer(None, "Which?") == "B"
        assert [part["type"] for part in server.requests[1][1]["messages"][0]["content"]] == ["text"]


def test_an_agent_calls_its_tool_and_is_told_the_result():
    with Server(agent=True) as server:
        endpoint = Endpoint(server.url, "m", slices=0, tools=[MEASURE])
        assert endpoint.answer(SCAN, "How large?") == "The answer is liver 6"
        assert [step["result"] for step in endpoint.trajectory] == ["liver 6"]


def test_a_wrong_call_is_told_to_the_model_and_the_last_step_has_no_tools():
    wrong = Tool("other", "", {"type": "object"}, lambda scan, a: "x")
    with Server(agent=True) as server:
        endpoint = Endpoint(server.url, "m", slices=0, tools=[wrong], max_steps=2)
        assert endpoint.answer(SCAN, "How large?") == "B"
        assert endpoint.trajectory[0]["result"].startswith("error: no such tool")
        assert "tools" not in server.requests[-1][1]


def test_failures_are_errors_and_never_answers():
    for settings in ({"status": 500}, {"garbage": True}):
        with Server(**settings) as server, pytest.raises(ResourceError):
            Endpoint(server.url, "m", slices=0).answer(SCAN, "Which?")
    with pytest.raises(ResourceError, match="running"):
        Endpoint("http://127.0.0.1:9/v1", "m", slices=0, timeout_s=2).answer(SCAN, "Which?")
    with pytest.raises(ConfigError):
        Endpoint("file:///etc/passwd", "m")
