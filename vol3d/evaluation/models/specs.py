"""Answerers by a short name, as command lines and suites write them."""

import os
from typing import Any

from vol3d.errors import ConfigError
from vol3d.evaluation.models import Answerer


def answerer_from(spec: str, **settings: Any) -> Answerer:
    """An answerer from `vol3d:NAME`, `hf:NAME` or `openai:URL#MODEL`.

    Args:
        spec: which model. The endpoint's key is read from the environment (OPENAI_API_KEY), never from a command line.
        settings: `feed`, `slices`, `max_new_tokens` for others' models; ignored where None.

    Errors: ConfigError for another form.
    """
    kind, _, rest = spec.partition(":")
    given = {key: value for key, value in settings.items() if value is not None}
    if kind == "vol3d":
        from vol3d.evaluation.models.ours import OwnModel

        return OwnModel(name=rest or "demo")
    if kind == "hf" and rest:
        from vol3d.evaluation.models.image_text import ImageTextModel

        return ImageTextModel.load(rest, **given)
    if kind == "openai" and "#" in rest:
        from vol3d.evaluation.models.endpoint import Endpoint

        url, _, model = rest.rpartition("#")
        limit = {"max_tokens": given.pop("max_new_tokens")} if "max_new_tokens" in given else {}
        return Endpoint(url, model, key=os.environ.get("OPENAI_API_KEY", ""), **given, **limit)
    raise ConfigError("no such kind of model", expected="vol3d:NAME, hf:NAME or openai:URL#MODEL", found=spec)
