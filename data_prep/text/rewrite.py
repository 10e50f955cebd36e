"""Rewriting of reports by a language model, accepted only where findings, denials, sides and numbers survive.

Any callable from prompt to text will do; `ChatEndpoint` speaks to a local or remote server with the OpenAI chat interface.
"""

import json
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files

from data_prep.text.facts import Difference, compare
from vol3d.errors import ConfigError, ResourceError

logger = logging.getLogger(__name__)
Model = Callable[[str], str]


@dataclass(frozen=True)
class Rewritten:
    """The accepted wording, or the original with the reasons of the refusals.

    Args:
        text: what to use: the rewritten text where it was accepted, else the original.
        accepted: whether the model's wording was taken.
        tries: how often the model was asked.
        differences: what was wrong with each refused try.
    """

    text: str
    accepted: bool
    tries: int
    differences: tuple[Difference, ...] = ()


def rewrite(text: str, model: Model, *, max_tries: int = 3, prompt: str | None = None) -> Rewritten:
    """Ask a model for another wording until one keeps all facts.

    >>> rewrite("No effusion.", lambda prompt: "Effusion is not seen.").text
    'Effusion is not seen.'
    >>> rewrite("No effusion.", lambda prompt: "There is an effusion.").accepted
    False
    """
    template = prompt or files("data_prep.text").joinpath("rewrite.txt").read_text(encoding="utf-8")
    refused: list[Difference] = []
    for attempt in range(1, max_tries + 1):
        candidate = " ".join(model(template.replace("{text}", text)).split())
        difference = compare(text, candidate)
        if candidate and difference.same:
            return Rewritten(candidate, True, attempt, tuple(refused))
        refused.append(difference)
    logger.info("no wording kept the facts after %d tries; the original stays", max_tries)
    return Rewritten(text, False, max_tries, tuple(refused))


@dataclass(frozen=True)
class ChatEndpoint:
    """A server with the OpenAI chat interface (vLLM, llama.cpp, Ollama, or a hosted one).

    Args:
        url: base address, for example `http://localhost:8000/v1`.
        model: model name as the server knows it.
        key_variable: NAME of the environment variable that holds the key; empty where none is needed.
        temperature, timeout_s: sampling temperature; seconds to wait.
    """

    url: str
    model: str
    key_variable: str = ""
    temperature: float = 0.7
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if not self.url.startswith(("http://", "https://")):
            raise ConfigError("not the address of a server", expected="http:// or https://", found=self.url)

    def __call__(self, prompt: str) -> str:
        """The model's answer.

        Raises:
            ConfigError: the key variable is empty.
            ResourceError: the server cannot be reached or answers otherwise.
        """
        headers = {"Content-Type": "application/json"}
        if self.key_variable:
            key = os.environ.get(self.key_variable)
            if not key:
                raise ConfigError("the variable that should hold the key is empty", found=self.key_variable)
            headers["Authorization"] = f"Bearer {key}"
        body = {"model": self.model, "temperature": self.temperature, "messages": [{"role": "user", "content": prompt}]}
        request = urllib.request.Request(f"{self.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
                return str(json.load(response)["choices"][0]["message"]["content"])
        except (urllib.error.URLError, TimeoutError) as error:
            raise ResourceError("the language model server cannot be used", path=self.url, found=str(error)) from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ResourceError("the server's answer is not a chat completion", path=self.url, found=repr(error)) from error
