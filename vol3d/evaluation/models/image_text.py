"""Any Hugging Face image-text model (MedGemma, Qwen3-VL, ...): pictures of slices and the prompt through its own chat template."""

from typing import Any

import torch

from vol3d.evaluation.models.inputs import pictures
from vol3d.volume.volume import Volume


class ImageTextModel:
    """A loaded image-text model and its processor.

    Args:
        model: a `transformers` image-text model in eval mode.
        processor: the processor that belongs to it, with a chat template.
        name: for the provenance.
        feed: which pictures it gets (`medgemma`, `frames`).
        slices: at most so many.
        max_new_tokens: length of the answer; decoding is greedy.
    """

    def __init__(self, model: Any, processor: Any, *, name: str, feed: str = "frames", slices: int = 16, max_new_tokens: int = 128) -> None:
        self.model, self.processor = model, processor
        self._name, self._feed, self._slices, self._max_new_tokens = name, feed, slices, max_new_tokens

    @classmethod
    def load(cls, name: str, *, device: str = "cpu", dtype: str = "auto", **settings: Any) -> "ImageTextModel":
        """Load by Hub name or folder. MedGemma is fed its windows and 85 slices unless `feed` or `slices` say otherwise."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        if "medgemma" in name.lower():
            settings = {"feed": "medgemma", "slices": 85, **settings}
        model: Any = AutoModelForImageTextToText.from_pretrained(name, dtype=dtype)  # Any: `to` is decorated, which hides its self
        model = model.to(device).eval()
        return cls(model, AutoProcessor.from_pretrained(name), name=name, **settings)

    @property
    def name(self) -> str:
        """Name for the provenance."""
        return self._name

    @property
    def settings(self) -> dict[str, object]:
        """What the model is fed and how it decodes."""
        return {"feed": self._feed, "slices": self._slices, "max_new_tokens": self._max_new_tokens, "decoding": "greedy"}

    def answer(self, volume: Volume | None, prompt: str) -> str:
        """Greedy answer to the prompt about the scan's pictures; without pictures when `volume` is None."""
        images = [] if volume is None else pictures(volume, self._feed, self._slices)
        content: list[dict[str, Any]] = [{"type": "image", "image": image} for image in images]
        messages = [{"role": "user", "content": [*content, {"type": "text", "text": prompt}]}]
        inputs = self.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt")
        inputs = inputs.to(self.model.device)
        with torch.inference_mode():
            out = self.model.generate(**inputs, max_new_tokens=self._max_new_tokens, do_sample=False)
        return str(self.processor.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)).strip()
