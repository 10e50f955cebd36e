"""HTML that is escaped by construction: text becomes markup only through `element`.

Scan headers, file names and a model's words are untrusted, so no function of the page joins strings into tags by hand.
"""

import html
from collections.abc import Iterable


class Html(str):
    """Text that is already markup. Made only by `element` and `join`."""

    __slots__ = ()


_VOID = frozenset({"img", "meta", "br", "rect"})


def element(name: str, /, *children: object, **attributes: object) -> Html:
    """One element; children that are not Html are escaped. `class_` is `class`, `_` in a name is `-`, None leaves one out.

    >>> element("p", "a < b", element("b", "&"), class_="note")
    '<p class="note">a &lt; b<b>&amp;</b></p>'
    """
    pairs = ((key.rstrip("_").replace("_", "-"), value) for key, value in attributes.items() if value is not None)
    opening = "".join(f' {key}="{html.escape(str(value), quote=True)}"' for key, value in pairs)
    if name in _VOID:
        return Html(f"<{name}{opening}>")
    return Html(f"<{name}{opening}>{join(children)}</{name}>")


def join(children: Iterable[object]) -> Html:
    """Children one after another, escaped where they are not Html.

    >>> join(["1 < 2", element("br")])
    '1 &lt; 2<br>'
    """
    return Html("".join(child if isinstance(child, Html) else html.escape(str(child)) for child in children))
