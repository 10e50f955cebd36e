"""Models that take the volume itself: M3D-LaMed, Merlin, and any class of yours, as `module:Class`.

What a class must offer is small:

    class Mine:
        feed = "m3d"                                    # m3d, merlin, or leave it out and write preprocess
        def preprocess(self, volume): ...               # vol3d.Volume -> array, where there is no feed
        def generate(self, inputs, prompt) -> str: ...  # the array (None: asked blind without a feed), the prompt -> its answer

It is made with `Class()`, or with `Class(argument)` for `module:Class#argument` (a folder of weights, a name).
"""

from importlib import import_module
from typing import Any, Protocol, runtime_checkable

import numpy as np

from vol3d.errors import ConfigError, MissingExtraError
from vol3d.evaluation.models.inputs import VOLUMES
from vol3d.volume.volume import Volume

# M3D-LaMed's projector gives 256 image tokens, which take the places of as many `<im_patch>` after the first token.
M3D_TOKENS = 256


@runtime_checkable
class VolumeNetwork(Protocol):
    """What `module:Class` must offer; `feed` or `preprocess` too."""

    def generate(self, inputs: Any, prompt: str) -> str:
        """Answer a prompt about a prepared volume."""
        ...


class VolumeAnswerer:
    """A network that takes volumes, fed by the name of its input or by its own preprocessing.

    Args:
        network: a VolumeNetwork.
        name: for the provenance.
        feed: a name of `inputs.VOLUMES`; None: the network's own `feed`, else its `preprocess`.

    Errors: ConfigError where nothing says how it is fed.
    """

    def __init__(self, network: VolumeNetwork, *, name: str, feed: str | None = None) -> None:
        own = getattr(network, "feed", None)
        self._network, self._name, self._feed = network, name, feed or own
        if self._feed is None and not callable(getattr(network, "preprocess", None)):
            raise ConfigError(
                "nothing says how this model is fed", expected=f"feed ({', '.join(VOLUMES)}), or a method preprocess(volume)", found=name
            )
        if self._feed is not None and self._feed not in VOLUMES:
            raise ConfigError("no such input", expected=" | ".join(VOLUMES), found=self._feed)

    @property
    def name(self) -> str:
        """Name for the provenance."""
        return self._name

    @property
    def settings(self) -> dict[str, object]:
        """What the model is fed; its own settings where it has some."""
        return {"feed": self._feed or "its own preprocess", **getattr(self._network, "settings", {})}

    def answer(self, volume: Volume | None, prompt: str) -> str:
        """The network's answer. Blind is an array of zeros where the input's shape is known: these models cannot be asked without one."""
        return str(self._network.generate(self._inputs(volume), prompt)).strip()

    def _inputs(self, volume: Volume | None) -> Any:
        if self._feed is None:
            return None if volume is None else self._network.preprocess(volume)  # type: ignore[attr-defined]
        make, shape = VOLUMES[self._feed]
        return np.zeros(shape, np.float32) if volume is None else make(volume)


def network_from(path: str) -> VolumeNetwork:
    """A network of `module:Class` or `module:Class#argument`.

    Errors: ConfigError where it cannot be imported or does not offer `generate`.
    """
    where, _, argument = path.partition("#")
    module, _, name = where.rpartition(":")
    try:
        made = getattr(import_module(module), name)
        network = made(argument) if argument else made()
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ConfigError(f"no such model: {error}", expected="module:Class that can be imported (PYTHONPATH)", found=path) from error
    if not isinstance(network, VolumeNetwork):
        raise ConfigError("this class cannot answer", expected="generate(inputs, prompt) -> str", found=path)
    return network


class M3DLaMed:
    """M3D-LaMed as its makers call it: 256 `<im_patch>` before the question, the volume beside it.

    Args:
        model: its causal language model, whose `generate(images, input_ids, ...)` gives the new tokens.
        tokenizer: its tokenizer, right-padding, 512 tokens at most.
        max_new_tokens: length of an answer; greedy, where the makers sample.
    """

    feed = "m3d"

    def __init__(self, model: Any, tokenizer: Any, *, max_new_tokens: int = 256) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.settings = {"max_new_tokens": max_new_tokens, "decoding": "greedy"}

    @classmethod
    def load(cls, name: str, *, max_new_tokens: int = 256, trust_remote_code: bool = False) -> "M3DLaMed":
        """Load by Hub name or folder. Its network is code in that repository, which runs on this machine: say so to allow it."""
        from transformers import AutoModelForCausalLM, AutoTokenizer

        if not trust_remote_code:
            raise ConfigError("this model is code from its repository", found=name, hint="Add --trust-remote-code if you have read it.")
        model = AutoModelForCausalLM.from_pretrained(name, trust_remote_code=True).eval()
        tokenizer = AutoTokenizer.from_pretrained(name, model_max_length=512, padding_side="right", use_fast=False, trust_remote_code=True)
        return cls(model, tokenizer, max_new_tokens=max_new_tokens)

    def generate(self, inputs: np.ndarray, prompt: str) -> str:
        """Answer about a volume of 1 x 32 x 256 x 256 in 0..1."""
        import torch

        weight = next(self.model.parameters())
        ids = self.tokenizer("<im_patch>" * M3D_TOKENS + prompt, return_tensors="pt")["input_ids"].to(weight.device)
        image = torch.from_numpy(inputs)[None].to(weight)
        with torch.inference_mode():
            out = self.model.generate(image, ids, max_new_tokens=self.settings["max_new_tokens"], do_sample=False)
        return str(self.tokenizer.batch_decode(out, skip_special_tokens=True)[0])


class MerlinText:
    """Merlin's text generation: the volume, and a prefix that ends in `###`, as its makers call it.

    It was trained to write an organ's findings, not to answer; a question goes into the place of that request.
    """

    feed = "merlin"

    def __init__(self, model: Any, *, max_new_tokens: int = 128) -> None:
        self.model = model
        self.settings = {"max_new_tokens": max_new_tokens, "decoding": "greedy", "repetition_penalty": 1.2}

    @classmethod
    def load(cls, *, max_new_tokens: int = 128) -> "MerlinText":
        """The published weights through the package `merlin-vlm`. Raises MissingExtraError without it."""
        try:
            from merlin import Merlin
        except ImportError as error:
            raise MissingExtraError("Merlin is not installed", hint="pip install merlin-vlm") from error
        return cls(Merlin(RadiologyReport=True).eval(), max_new_tokens=max_new_tokens)

    def generate(self, inputs: np.ndarray, prompt: str) -> str:
        """Answer about a volume of 1 x 224 x 224 x 160 in 0..1, x y z."""
        import torch

        image = torch.from_numpy(inputs)[None].to(next(self.model.parameters()))
        with torch.inference_mode():
            out = self.model.generate(image, [f"{prompt}###\n"], do_sample=False, num_beams=1, repetition_penalty=1.2, max_new_tokens=self.settings["max_new_tokens"])  # fmt: skip
        return str(out[0]).split("###")[0]
