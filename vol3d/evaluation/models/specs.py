"""Answerers by a short name, as command lines and suites write them."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vol3d.errors import ConfigError
from vol3d.evaluation.models import Answerer
from vol3d.volume.volume import Volume

if TYPE_CHECKING:
    from vol3d.contracts import EvidenceSource

FORMS = "vol3d:NAME, hf:NAME, m3d:NAME, merlin:, openai:URL#MODEL or module:Class"


def answerer_from(
    spec: str, *, experts: "Callable[[Volume], EvidenceSource] | None" = None, trust_remote_code: bool = False, **settings: Any
) -> Answerer:
    """An answerer from `vol3d:NAME`, `hf:NAME`, `m3d:NAME`, `merlin:`, `openai:URL#MODEL` or `module:Class` (see volume_input.py).

    Args:
        spec: which model. The endpoint's key is read from the environment (OPENAI_API_KEY), never from a command line.
        experts: scan -> panel, for vol3d models; None: what is installed.
        trust_remote_code: allows `m3d:NAME`, whose network is code in its repository.
        settings: `feed`, `slices`, `max_new_tokens` for others' models; ignored where None.

    Errors: ConfigError for another form.
    """
    kind, _, rest = spec.partition(":")
    given = {key: value for key, value in settings.items() if value is not None}
    if kind == "vol3d":
        from vol3d.evaluation.models.ours import OwnModel

        return OwnModel(name=rest or "demo", experts=experts)
    if kind == "hf" and rest:
        from vol3d.evaluation.models.image_text import ImageTextModel

        return ImageTextModel.load(rest, **given)
    if kind == "openai" and "#" in rest:
        return _endpoint(rest, given)
    if kind in ("m3d", "merlin") or (rest.partition("#")[0].isidentifier() and kind not in ("hf", "openai")):
        return _volume_model(kind, rest, spec, given, trust_remote_code=trust_remote_code)
    raise ConfigError("no such kind of model", expected=FORMS, found=spec)


def _endpoint(address: str, given: dict[str, Any]) -> Answerer:
    from vol3d.evaluation.models.endpoint import Endpoint

    url, _, model = address.rpartition("#")
    limit = {"max_tokens": given.pop("max_new_tokens")} if "max_new_tokens" in given else {}
    return Endpoint(url, model, key=os.environ.get("OPENAI_API_KEY", ""), **given, **limit)


def _volume_model(kind: str, rest: str, spec: str, given: dict[str, Any], *, trust_remote_code: bool) -> Answerer:
    from vol3d.evaluation.models.volume_input import M3DLaMed, MerlinText, VolumeAnswerer, network_from

    length = {key: given[key] for key in ("max_new_tokens",) if key in given}
    if kind == "m3d":
        return VolumeAnswerer(M3DLaMed.load(rest, trust_remote_code=trust_remote_code, **length), name=rest)
    if kind == "merlin":
        return VolumeAnswerer(MerlinText.load(**length), name="merlin")
    return VolumeAnswerer(network_from(spec), name=spec, feed=given.get("feed"))
