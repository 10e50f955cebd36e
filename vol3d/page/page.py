"""One scan's report as one self-contained HTML file: nothing is fetched, nothing is executed."""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import PurePath

from vol3d import __version__
from vol3d.contracts import DISCLAIMER, Answer, Evidence, Report
from vol3d.page import blocks
from vol3d.page.anchors import Anchors, unique
from vol3d.page.html import Html, element, join
from vol3d.page.measurements import measurements_block
from vol3d.volume.volume import Volume


def render_page(report: Report | None, evidence: Evidence, volume: Volume, *, answers: Sequence[Answer] = ()) -> str:
    """The page of a report, or of answers alone.

    Args:
        report: findings, impression, and the claims in them; None for a page of answers.
        evidence: measurements, pictures, statuses and provenance that the report rests on.
        volume: the scan; only its geometry, name and notices are shown.
        answers: questions that were asked of the same scan.

    Returns:
        An HTML document with its style and pictures inside; its content policy forbids every request and script.
    """
    stated = report.evidence if report else ()
    measurements = unique([evidence.measurements, stated, *(answer.evidence for answer in answers)])
    anchors = Anchors(measurements, tuple(evidence.pictures), tuple(report.claims) if report else (), tuple(evidence.masks.values()))
    provenance = [blocks.provenance_block({"vol3d": __version__, **evidence.provenance})]
    questions = join(blocks.question_block(answer, anchors) for answer in answers)
    sections = {
        **({"Report": blocks.report_block(report, anchors)} if report else {"Questions": questions}),
        "Key slices": blocks.slices_block(evidence.pictures),
        "Questions": questions,
        "Measurements": measurements_block(anchors),
        "What was looked at": blocks.coverage_block(evidence),
        "Provenance": join([*provenance, blocks.trace_block(report.trace) if report else ""]),
    }
    return _document(report, volume, {name: body for name, body in sections.items() if body})


def _document(report: Report | None, volume: Volume, sections: dict[str, Html]) -> str:
    name = PurePath(volume.source or (report.scan if report else "")).name or "scan"
    links = [element("a", title, href=f"#{_slug(title)}") for title in sections]
    heading = [element("h1", name), _facts(report, volume), element("nav", *links)]
    notice = element("p", DISCLAIMER, class_="notice", role="note")
    parts = [element("section", element("h2", title), body, id=_slug(title)) for title, body in sections.items()]
    body = element("body", notice, element("header", *heading), element("main", *parts), element("footer", notice))
    return "<!doctype html>\n" + element("html", _head(f"{name} - vol3d"), body, lang="en") + "\n"


def _head(title: str) -> Html:
    style = files("vol3d.page").joinpath("style.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name_="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name_="referrer", content="no-referrer"),
        element("title", title),
        # Our own file, not input: escaped quotes would change the style, and its hash.
        element("style", Html(style)),
    )


def _facts(report: Report | None, volume: Volume) -> Html:
    extent = " x ".join(f"{n * mm:.0f}" for n, mm in zip(volume.shape, volume.spacing_mm, strict=True))
    facts: dict[str, object] = {
        "modality": volume.modality,
        "voxels z y x": " x ".join(map(str, volume.shape)),
        "spacing z y x": " x ".join(f"{mm:g}" for mm in volume.spacing_mm) + " mm",
        "extent": f"{extent} mm",
        "orientation": volume.orientation,
    }
    if report:
        facts["report"] = blocks.chip(report.status)
    pairs = (element("div", element("dt", name), element("dd", value)) for name, value in facts.items())
    notices = [element("li", element("strong", notice.code), " ", notice.message) for notice in volume.notices]
    return join([element("dl", *pairs, class_="facts"), element("ul", *notices, class_="plain quiet") if notices else ""])


def _slug(title: str) -> str:
    return title.lower().replace(" ", "-")
