"""A model behind an OpenAI-compatible endpoint, asked directly or as an agent with tools.

Tool calls keep their ids, and every tool's answer carries the id that it belongs to: strict servers refuse anything else, and an evaluator that
swallows that refusal grades it as a wrong answer.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from vol3d.errors import ConfigError
from vol3d.evaluation.models.inputs import pictures
from vol3d.inference.chat_endpoint import ChatEndpoint, data_url
from vol3d.volume.volume import Volume


@dataclass(frozen=True)
class Tool:
    """A function that an agent may call.

    Args:
        name, description: as the model sees them.
        parameters: JSON schema of the arguments.
        call: (scan, arguments) -> text.
    """

    name: str
    description: str
    parameters: Mapping[str, Any]
    call: Callable[[Volume, Mapping[str, Any]], str]

    @property
    def schema(self) -> dict[str, Any]:
        """As the protocol wants it."""
        return {"type": "function", "function": {"name": self.name, "description": self.description, "parameters": dict(self.parameters)}}


@dataclass
class Endpoint:
    """A chat-completions endpoint.

    Args:
        base_url: up to `/v1`.
        model: name that the server knows.
        key: sent as a bearer token where given; never part of the provenance.
        feed, slices: pictures that go along (`frames`, `medgemma`); 0 slices: text only.
        tools: makes it an agent.
        max_steps: turns of an agent; tools are withheld at the last, so that it must answer.
        timeout_s: per request.
        max_tokens: length of a reply; temperature is 0.
    """

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    feed: str = "frames"
    slices: int = 16
    tools: Sequence[Tool] = ()
    max_steps: int = 8
    timeout_s: float = 120.0
    max_tokens: int = 256
    trajectory: list[dict[str, Any]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigError("an endpoint is an http address", expected="http://host:port/v1", found=self.base_url)

    @property
    def name(self) -> str:
        """Name for the provenance."""
        return self.model

    @property
    def settings(self) -> dict[str, object]:
        """What goes along with the prompt, and how it decodes."""
        return {"feed": self.feed, "slices": self.slices, "tools": [t.name for t in self.tools], "max_tokens": self.max_tokens, "temperature": 0}

    def answer(self, volume: Volume | None, prompt: str) -> str:
        """The reply; an agent's final one. `trajectory` then holds its calls."""
        images = pictures(volume, self.feed, self.slices) if volume is not None and self.slices else []
        content: list[dict[str, Any]] = [{"type": "image_url", "image_url": {"url": data_url(image)}} for image in images]
        messages: list[dict[str, Any]] = [{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}]
        self.trajectory = []
        usable = self.tools if volume is not None else ()
        for step in range(self.max_steps):
            reply = self._chat(messages, usable if step < self.max_steps - 1 else ())
            calls = reply.get("tool_calls") or []
            if not calls or volume is None:
                return str(reply.get("content") or "")
            messages.append({"role": "assistant", "content": reply.get("content") or "", "tool_calls": calls})
            messages += [self._run_tool(volume, call) for call in calls]
        return ""

    def _run_tool(self, volume: Volume, call: Mapping[str, Any]) -> dict[str, Any]:
        function = call.get("function", {})
        tool = next((t for t in self.tools if t.name == function.get("name")), None)
        try:
            arguments = json.loads(function.get("arguments") or "{}")
            if tool is None or not isinstance(arguments, dict):
                raise ValueError(f"no such tool or arguments: {function.get('name')}")
            result = tool.call(volume, arguments)
        except (ValueError, KeyError, TypeError) as error:  # the model's mistake: it is told, and may try again
            result = f"error: {error}"
        self.trajectory.append({"tool": function.get("name"), "arguments": function.get("arguments"), "result": result})
        return {"role": "tool", "tool_call_id": call.get("id", ""), "content": result}

    def _chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Tool]) -> dict[str, Any]:
        endpoint = ChatEndpoint(self.base_url, self.model, key=self.key, timeout_s=self.timeout_s, max_tokens=self.max_tokens)
        return endpoint.complete(messages, [tool.schema for tool in tools])
