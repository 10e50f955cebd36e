"""The page says everything that the contracts hold, links it, fetches nothing and runs nothing."""

import base64
import hashlib
import re
from html.parser import HTMLParser
from urllib.parse import unquote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vol3d.contracts import DISCLAIMER, Answer, Claim, Evidence, LabelMap, Measurement, Picture, Report, Status, TraceStep
from vol3d.page import render_page
from vol3d.page.anchors import Anchors
from vol3d.page.html import element
from vol3d.volume.volume import Notice, Volume

AFFINE = np.array([[0, 0, 1.5, 0], [0, 1.5, 0, 0], [2.0, 0, 0, 0], [0, 0, 0, 1]])
EVIL = "<script>alert('x')</script> \"><img src=https://evil.example/x onerror=1>"


def measurement(structure="liver", name="volume", value=1450.26, unit="ml", **more):
    return Measurement(name=name, value=value, unit=unit, structure=structure, method="voxels", mask_id="liver", **more)


def page(text="The liver measures 1450.3 ml.", *, source="scan.nii.gz", structure="liver", reason="above the field of view", caption="Liver"):
    items = (measurement(structure), measurement("liver_tumour", "longest_axial_diameter", 22.5, "mm", component=1))
    colours = {structure: (220, 120, 40)}
    picture = Picture(np.zeros((8, 9, 3), np.uint8), "axial", 4, (structure,), "ct_soft", caption, colours)
    labels = LabelMap(np.zeros((4, 8, 8), np.uint8), AFFINE, {1: structure}, source, "e", "1", reasons={"brain": reason})
    statuses = {structure: Status.FOUND, "brain": Status.NOT_COVERED, "spleen": Status.ABSENT, "heart": Status.FAILED}
    evidence = Evidence(items, (), (picture,), {"m": labels}, statuses, {"experts": {"threshold_ct": "1"}, "seed": 3})
    claims = (
        Claim(text=text, measurement_id=items[0].id, verdict="supported"),
        Claim(text="No fracture.", measurement_id=None, verdict="unsupported"),
    )
    report = Report(scan=source, status="complete", findings=f"{text} Nothing else.", impression="", claims=claims, evidence=items)
    step = TraceStep(step=1, call="<threshold_ct(liver)>", status="found", seconds=1.25, detail=text)
    answer = Answer(scan=source, question=text, text=text, value=1450.26, unit="ml", confidence=0.8, evidence=items[:1], trace=(step,))
    volume = Volume(np.zeros((4, 8, 8), np.int16), AFFINE, "CT", "HU", source, notices=(Notice("spacing", text),))
    return render_page(report, evidence, volume, answers=(answer,))


class Reader(HTMLParser):
    """Collects what a browser would see: tags, ids, links, text."""

    def __init__(self, markup):
        super().__init__()
        self.tags, self.ids, self.links, self.sources, self.text = [], [], [], [], ""
        self.feed(markup)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        assert not any(key.startswith("on") for key in attributes), attributes
        assert "style" not in attributes, "the policy forbids inline styles"
        self.tags.append(tag)
        self.ids += [attributes["id"]] if "id" in attributes else []
        self.links += [attributes["href"]] if "href" in attributes else []
        self.sources += [attributes["src"]] if "src" in attributes else []

    def handle_data(self, data):
        self.text += data


def test_every_measurement_is_a_row_and_every_link_arrives():
    seen = Reader(page())
    assert {"m:liver/all/volume", "m:liver_tumour/1/longest_axial_diameter"} <= set(seen.ids)
    assert len(seen.ids) == len(set(seen.ids))
    assert seen.links
    assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)
    assert "claim-1" in seen.ids
    assert "#picture-1" in seen.links


def test_a_union_links_to_the_picture_of_its_parts():
    labels = LabelMap(np.ones((1, 1, 1), np.uint8), AFFINE, {1: "lung_left", 2: "lung_right"}, "s", "e", "1", unions={"lungs": (1, 2)})
    picture = Picture(np.zeros((2, 2, 3), np.uint8), "coronal", 0, ("lung_right",), "ct_lung", "")
    anchors = Anchors((), (picture,), (), (labels,))
    assert (anchors.picture("lungs"), anchors.picture("lung_right"), anchors.picture("lung_left")) == ("picture-1", "picture-1", None)


def test_a_page_of_answers_starts_with_them():
    item = measurement()
    answer = Answer(scan="s", question="How large?", text="1450.3 ml", evidence=(item,))
    volume = Volume(np.zeros((4, 8, 8), np.int16), AFFINE, "CT", "HU", "s.nii")
    seen = Reader(render_page(None, Evidence((item,), ()), volume, answers=(answer,)))
    assert seen.links[0] == "#questions"
    assert "report" not in seen.ids


def test_the_disclaimer_is_the_first_and_the_last_line():
    text = Reader(page().split("</style>")[1]).text.strip()
    assert text.startswith(DISCLAIMER)
    assert text.endswith(DISCLAIMER)


def test_four_statuses_are_four_words_and_reasons_are_shown():
    text = Reader(page()).text
    for word in ("found", "absent", "not covered", "failed", "brain (above the field of view)"):
        assert word in text


def test_nothing_is_fetched_and_nothing_runs():
    markup = page()
    seen = Reader(markup)
    assert not {"script", "iframe", "object", "link", "form"} & set(seen.tags)
    assert "http://" not in markup
    assert "https://" not in markup
    assert all(source.startswith("data:image/png;base64,") for source in seen.sources)
    style = re.search(r"<style>(.*)</style>", markup, re.DOTALL).group(1)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"sha256-{digest}" in markup
    assert "default-src &#x27;none&#x27;" in markup


def test_pictures_survive_as_png():
    import io

    from PIL import Image

    data = Reader(page()).sources[0].split(",")[1]
    assert Image.open(io.BytesIO(base64.b64decode(data))).size == (9, 8)


@pytest.mark.parametrize("field", ["text", "source", "structure", "reason", "caption"])
def test_untrusted_strings_stay_text(field):
    markup = page(**{field: EVIL})
    seen = Reader(markup)
    assert "<script" not in markup
    assert "script" not in seen.tags
    assert len(seen.sources) == 1
    assert EVIL in seen.text or EVIL.split("/")[-1] in seen.text, "shown as text, not dropped"
    assert {link.removeprefix("#") for link in seen.links} <= set(seen.ids)


def test_findings_keep_every_word_when_claims_overlap():
    item = measurement()
    claims = tuple(Claim(text=text, measurement_id=item.id, verdict="supported") for text in ("liver is large", "is large and fatty", "absent text"))
    report = Report(scan="s", status="complete", findings="The liver is large and fatty.", impression="Fine.", claims=claims)
    volume = Volume(np.zeros((4, 8, 8), np.int16), AFFINE, "CT", "HU", "s.nii")
    text = Reader(render_page(report, Evidence((item,), ()), volume)).text
    assert "The liver is large and fatty." in text
    assert all(claim.text in text for claim in claims)


@given(st.text(min_size=1), st.text(min_size=1))
def test_element_escapes_whatever_it_is_given(text, value):
    parser = Reader(f"<i>{element('p', text, title=value)}</i>")
    assert parser.tags == ["i", "p"]
    assert unquote(parser.text.replace("\r", "")) == unquote(text.replace("\r", ""))
