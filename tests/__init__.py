"""The tests, and the checker that `make check` puts on every annotation."""

from typing import Any

from beartype import BeartypeConf, beartype

_CONF = BeartypeConf(is_pep484_tower=True)


def checked(target: Any, *args: Any, **kwargs: Any) -> Any:
    """`beartype`, but as in mypy and PEP 484 an int is a float too: `spacing_mm=(3, 1, 1)` is no mistake."""
    return beartype(target, *args, conf=_CONF, **kwargs)
