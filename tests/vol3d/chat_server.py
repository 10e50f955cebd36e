"""A chat-completions server on this machine: it says recorded lines, and refuses what strict servers refuse."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def call(name: str, arguments: Any, ident: str | None = "call_0") -> dict[str, Any]:
    """A tool call as OpenAI, vLLM and llama.cpp write it; `arguments` that are a string go as they are."""
    written = arguments if isinstance(arguments, str) else json.dumps(arguments)
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": written}}
    return made if ident is None else {"id": ident, **made}


def calls(*made: dict[str, Any], content: str | None = None) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "tool_calls": list(made)}


class ChatServer:
    """Answers the n-th request with the n-th line: a text, a message, an HTTP status, bytes, or seconds of silence (float)."""

    def __init__(self, *lines: Any, headers: dict[str, str] | None = None) -> None:
        self.lines, self.requests, self.objections = list(lines), [], []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append((self.path, dict(self.headers), body))
                objection = objection_to(body)
                if objection:
                    outer.objections.append(objection)
                    return self.reply(400, json.dumps({"error": {"message": objection}}).encode())
                line = outer.lines.pop(0)
                if isinstance(line, float):
                    time.sleep(line)
                    line = "too late"
                if isinstance(line, int):
                    return self.reply(line, f"error {line}\nfor {self.headers.get('Authorization', 'nobody')}".encode())
                if isinstance(line, bytes):
                    return self.reply(200, line)
                message = {"role": "assistant", "content": line} if isinstance(line, str) else line
                return self.reply(200, json.dumps({"object": "chat.completion", "choices": [{"index": 0, "message": message}]}).encode())

            def reply(self, status: int, content: bytes) -> None:
                try:
                    self.send_response(status)
                    for name, value in (headers or {}).items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client gave up waiting, as one test wants it to

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.spec = f"openai:{self.url}#reader-7b"
        threading.Thread(target=lambda: self.server.serve_forever(poll_interval=0.02), daemon=True).start()

    def __enter__(self) -> "ChatServer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def messages(self, n: int) -> list[dict[str, Any]]:
        return self.requests[n][2]["messages"]

    def told(self, n: int) -> list[str]:
        """What the tool messages of a request say."""
        return [m["content"] for m in self.messages(n) if m["role"] == "tool"]


def objection_to(body: dict[str, Any]) -> str | None:
    """What a strict server says to a conversation that breaks the protocol."""
    open_calls: list[str] = []
    for message in body["messages"]:
        if message["role"] == "tool":
            if not open_calls or message["tool_call_id"] != open_calls.pop(0):
                return f"no call waits for {message.get('tool_call_id')}"
            if not isinstance(message["content"], str) or not message["content"]:
                return "a tool message has text"
        elif open_calls:
            return f"calls without an answer: {open_calls}"
        for made in message.get("tool_calls", ()):
            try:
                json.loads(made["function"]["arguments"])
            except ValueError:
                return "arguments of an earlier call are not JSON"  # vLLM decodes them for its chat template
            open_calls.append(made["id"])
    if len(set(open_calls)) != len(open_calls):
        return "two calls of one id"
    return f"calls without an answer: {open_calls}" if open_calls else None
