"""A chat model behind an OpenAI-compatible endpoint: one request, one message back; standard library only.

The key comes from the environment and goes to the given host alone: redirects are refused, and what a server says back is printed without it.
"""

import base64
import contextlib
import io
import json
import logging
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vol3d.errors import ConfigError, ResourceError

if TYPE_CHECKING:
    from PIL.Image import Image

logger = logging.getLogger(__name__)

KEY_VARIABLE = "OPENAI_API_KEY"
PREFIX = "openai:"
_LONGEST_REPLY = 4 * 1024 * 1024
_PASSING = frozenset({429, 500, 502, 503, 504})
_LONGEST_PAUSE_S = 10.0
# A refusal is read this far, and shown shorter: the key is taken out before, and must not be cut in half.
_REFUSAL_READ, _REFUSAL_SHOWN = 4096, 300


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *args: Any) -> None:
        return None


@dataclass(frozen=True)
class ChatEndpoint:
    """Where a chat model answers, and how long it may take.

    Args:
        base_url: up to `/v1`.
        model: the name that the server knows.
        key: bearer token; never shown.
        timeout_s: for a whole reply.
        max_tokens: length of a reply; temperature is 0.
        attempts: requests that a server which is down or busy for a moment (429, 5xx) gets.
        pause_s: between them, where the server names no other time.

    Errors: ConfigError for an address that is none, or one with a password in it.
    """

    base_url: str
    model: str
    key: str = field(default="", repr=False)
    timeout_s: float = 120.0
    max_tokens: int = 256
    attempts: int = 3
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        if "@" in self.base_url.partition("//")[2].partition("/")[0]:
            raise ConfigError("the endpoint's address holds a name or password", hint=f"Put the key into the environment variable {KEY_VARIABLE}.")
        if not _is_http(self.base_url):
            raise ConfigError("an endpoint is an http address", expected="http://host:port/v1", found=self.base_url)
        if not (self.key.isascii() and (self.key.isprintable() or not self.key)):
            raise ConfigError("the endpoint's key holds characters that no header can carry", hint=f"Look at {KEY_VARIABLE}.")

    def complete(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
        """The model's next message.

        Errors: ResourceError where the server refuses, stays silent, or says something that is no message; in one line.
        """
        body: dict[str, Any] = {"model": self.model, "messages": list(messages), "temperature": 0, "max_tokens": self.max_tokens}
        if tools:
            body["tools"] = list(tools)
        for attempt in range(1, self.attempts + 1):
            try:
                return _message(self._post(body))
            except urllib.error.HTTPError as error:
                said = self._without_key(_said(error))[:_REFUSAL_SHOWN]
                if error.code not in _PASSING or attempt == self.attempts:
                    raise ResourceError(f"the endpoint refused: {error.code} {said}".strip(), path=self.base_url) from None
                pause = _pause(error.headers.get("Retry-After"), self.pause_s)
                logger.info("the endpoint answered %d; asking again in %.1f s", error.code, pause)
                time.sleep(pause)
            except (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError, RecursionError) as error:
                said = " ".join(str(error).split()) or type(error).__name__
                reason = f"no reply within {self.timeout_s:g} s" if _is_timeout(error) else self._without_key(said)
                hint = "Is the server running, and the model's name right?"
                raise ResourceError(f"no usable reply from the endpoint: {reason}", path=self.base_url, hint=hint) from None
        raise ResourceError("the endpoint was given no attempt", path=self.base_url, expected="attempts of at least 1", found=self.attempts)

    def _post(self, body: Mapping[str, Any]) -> bytes:
        headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {self.key}"} if self.key else {})}
        request = urllib.request.Request(f"{self.base_url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        deadline = time.monotonic() + self.timeout_s
        parts: list[bytes] = []
        with urllib.request.build_opener(_NoRedirect()).open(request, timeout=self.timeout_s) as response:
            while part := response.read1(1 << 16):
                parts.append(part)
                # The socket's own timeout starts anew with every byte that drips in.
                if time.monotonic() > deadline:
                    raise TimeoutError
                if sum(map(len, parts)) > _LONGEST_REPLY:
                    raise ValueError(f"the reply is longer than {_LONGEST_REPLY} bytes")
        return b"".join(parts)

    def _without_key(self, text: str) -> str:
        return text.replace(self.key, "***") if self.key else text


def endpoint_from(spec: str, **settings: Any) -> ChatEndpoint:
    """An endpoint from `openai:URL#MODEL`; the key is read from OPENAI_API_KEY, never from a command line.

    >>> endpoint_from("openai:http://localhost:8000/v1#my-model").model
    'my-model'
    """
    url, separator, model = spec.removeprefix(PREFIX).rpartition("#")
    if not (separator and url and model):
        raise ConfigError("this names no model behind an endpoint", expected="openai:URL#MODEL", found=spec)
    return ChatEndpoint(url, model, key=os.environ.get(KEY_VARIABLE, "").strip(), **settings)


def data_url(image: "Image") -> str:
    """A picture as it stands in a message: a PNG in base64."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _is_http(address: str) -> bool:
    try:
        parts = urlsplit(address)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False


def _said(error: urllib.error.HTTPError) -> str:
    """What a server wrote beside its refusal, in one line; nothing where it breaks off."""
    with error, contextlib.suppress(OSError, HTTPException):
        return " ".join(error.read(_REFUSAL_READ).decode(errors="replace").split())
    return ""


def _message(document: bytes) -> dict[str, Any]:
    message = json.loads(document)["choices"][0]["message"]
    if not isinstance(message, dict):
        raise TypeError(f"the reply's message is a {type(message).__name__}")
    return message


def _pause(named: str | None, otherwise: float) -> float:
    try:
        return min(max(float(named or ""), 0.0), _LONGEST_PAUSE_S)
    except ValueError:  # none was named, or a date
        return otherwise


def _is_timeout(error: BaseException) -> bool:
    return isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError)
