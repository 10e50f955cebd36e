"""The experts by name: ours, and those that other packages bring through the entry point group `vol3d.experts`.

Another package adds an expert with two lines of its pyproject:

    [project.entry-points."vol3d.experts"]
    my_expert = "my_package.my_module:MyExpert"
"""

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from experts3d.weights import lacks_weights
from vol3d.contracts import Expert, ExpertCard
from vol3d.errors import ConfigError, ExpertError, MissingExtraError

logger = logging.getLogger(__name__)

ENTRY_POINTS = "vol3d.experts"
# Name -> where its class stands; imported only when it is asked for.
BUILT_IN: dict[str, str] = {
    "threshold_ct": "experts3d.threshold_ct:ThresholdCT",
    "deepbet": "experts3d.deepbet_mri:DeepbetMRI",
    "supplied": "experts3d.supplied:SuppliedMasks",
    "wholebody_ct": "experts3d.wholebody_ct:WholeBodyCT",
    "spleen_ct": "experts3d.spleen_ct:SpleenCT",
    "pancreas_ct": "experts3d.pancreas_ct:PancreasCT",
    "brats_mri": "experts3d.brats_mri:BratsMRI",
    "vista3d": "experts3d.vista3d:Vista3D",
    "totalsegmentator": "experts3d.foreign:totalsegmentator",
    "lungmask": "experts3d.foreign:lungmask",
    "nnunet": "experts3d.foreign:nnunet",
    "voxtell": "experts3d.foreign:voxtell",
}
# These need to be told where their masks or weights are, so no panel can open them by itself.
NEED_ARGUMENTS: dict[str, str] = {
    "supplied": "your own masks: --mask FILE --labels TABLE",
    "nnunet": "a trained model folder; from Python: load_expert('nnunet', model=...)",
    "brats_mri": "three more MR sequences by name: --sequence t1=FILE --sequence t2=FILE --sequence flair=FILE",
}


def load_expert(name: str, **kwargs: Any) -> Expert:
    """An expert by name.

    Args:
        name: as `expert_names` lists it.
        **kwargs: what the expert's class takes.

    Raises:
        ConfigError: no expert has this name, or it does not take these arguments.
        MissingExtraError: its optional dependency is not installed.

    >>> load_expert("threshold_ct").card.modalities
    ('CT',)
    """
    factory = _factory(name)
    try:
        expert = factory(**kwargs)
    except TypeError as error:
        raise ConfigError(f"the expert {name} does not take these arguments", found=", ".join(kwargs) or "none", hint=str(error)) from error
    if not isinstance(expert, Expert):
        raise ExpertError(
            f"the expert {name} does not follow the contract", expected="a card and segment(volume, targets)", found=type(expert).__name__
        )
    return expert


def expert_names() -> tuple[str, ...]:
    """All names that `load_expert` takes, ours first."""
    return tuple(dict.fromkeys([*BUILT_IN, *(point.name for point in entry_points(group=ENTRY_POINTS))]))


def ready_experts() -> tuple[Expert, ...]:
    """The experts that open without arguments on this machine; those whose extra is missing are left out and logged."""
    out = []
    for name in expert_names():
        if name in NEED_ARGUMENTS:
            continue
        if lacks_weights(name):
            # Asked before the import: loading a network library for weights that are not there would cost every run seconds.
            logger.info("expert %s has no weights on this machine", name)
            continue
        try:
            out.append(load_expert(name))
        except (MissingExtraError, ConfigError, ExpertError) as error:
            logger.info("expert %s is not available: %s", name, error)
    return tuple(out)


def all_cards() -> tuple[ExpertCard, ...]:
    """The cards of all experts that are ready here."""
    return tuple(expert.card for expert in ready_experts())


def _factory(name: str) -> Callable[..., Any]:
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name].split(":")
        return getattr(import_module(module), attribute)
    found = [point for point in entry_points(group=ENTRY_POINTS) if point.name == name]
    if not found:
        raise ConfigError("there is no such expert", expected=", ".join(expert_names()), found=name)
    return found[0].load()
