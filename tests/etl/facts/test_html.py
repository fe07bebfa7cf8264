"""Visible text: counted by hand, and against Python's own HTML parser."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.facts.html import visible_text

HIDDEN = {"script", "style", "title", "noscript", "template", "iframe"}


def count(page: str) -> int:
    [chars] = visible_text(pa.array([page]))[0].to_pylist()
    assert isinstance(chars, int)
    return chars


class Reader(HTMLParser):
    """Text outside HIDDEN elements, with character references decoded."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=False)
        self.parts: list[str] = []
        self.hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in HIDDEN and not self.hidden:
            self.hidden.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self.hidden == [tag]:
            self.hidden.clear()

    def add(self, text: str) -> None:
        if not self.hidden:
            self.parts.append(text)

    def handle_data(self, data: str) -> None:
        self.add(data)

    def handle_entityref(self, name: str) -> None:
        self.add("&")

    def handle_charref(self, name: str) -> None:
        self.add("&")


def count_by_parser(page: str) -> int:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return len(" ".join("".join(reader.parts).split()))


@pytest.mark.parametrize(
    ("page", "chars"),
    [
        ("", 0),
        ("plain", 5),
        ("<p>Hello <b>big</b> &amp; wide\n\n world</p>", len("Hello big & wide world")),
        ("  <p> a </p>\n<p> b </p>  ", len("a b")),
        ("a<br>b", len("ab")),
        ("<title>never seen</title>seen", 4),
        ("<script>if (a < b) '</p>'</script>x", 1),
        ("<SCRIPT type='a>b'>x</ScRiPt >y", 1),
        ("<style>p > a {}</style>", 0),
        ("<noscript>turn it <b>on</b></noscript>x", 1),
        ("<template><p>no</p></template><iframe>no</iframe>x", 1),
        ("<scripture>read</scripture>", 4),
        ("<!DOCTYPE html><?xml version='1.0'?>x", 1),
        ("<!-- a > b -- c -->x", 1),
        ("<!-->x", 1),
        ("<!--->x", 1),
        ("<!-- a --!>x", 1),
        ("<a title='1>2' rel=\"3>4\">z</a>", 1),
        ("<p isn't=1>z", 1),  # a quote that is no value
        ("1 < 2 && 3 > 2", len("1 < 2 && 3 > 2")),
        ("a<", 2),
        ("&lt;&#60;&#x3C;&nbsp;&CounterClockwiseContourIntegral;", 5),
        ("&lt &; &# &#x &zz", len("&lt &; &# &#x &zz")),
        ("日本&eacute;", 3),
        ("a\u00a0\u2003b", len("a b")),
    ],
)
def test_visible_text_of_well_formed_pages(page: str, chars: int) -> None:
    assert count(page) == chars


@pytest.mark.parametrize(
    ("page", "chars"),
    [
        ("a<p", 1),
        ("a<p title='b>c", 1),
        ("a<!-- b", 1),
        ("a<script>b", 1),
        ("a<script>b</scrip>c", 1),
        ("</p></p>a</", 3),
        ("</>a</ b>c", 2),
        ("a<!b", 1),
        ("<b><i>x</b></i>", 1),
    ],
)
def test_what_is_not_closed_lasts_to_the_end(page: str, chars: int) -> None:
    assert count(page) == chars


PIECES = st.sampled_from(
    [
        *("<p>", "</p>", "<br/>", '<a href="x>y">', "</a>", "text", " ", "\n", "&amp;", "&#12;"),
        *("<script>var a = 1 < 2;</script>", "<style>b{}</style>", "<!-- c -->", "<!doctype html>"),
        *("<title>t</title>", "é日", "<H1 CLASS=big>", "</H1>", "a > b"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=40).map("".join))
def test_count_is_that_of_pythons_parser(page: str) -> None:
    assert count(page) == count_by_parser(page)


@settings(max_examples=300, deadline=None)
@given(st.text("<>!-/?&;'\"= \nabscriptyle#x1é", max_size=120))
def test_any_text_is_counted_and_shows_no_more_than_it_has(page: str) -> None:
    assert 0 <= count(page) <= len(page)


def test_the_fraction_is_of_all_characters_and_null_outside_the_mask() -> None:
    pages = pa.array(["<p>日本</p>", "<p>ab</p>", None, ""])
    mask = np.array([True, False, True, True])
    chars, fractions = visible_text(pages, mask)
    assert chars.to_pylist() == [2, None, None, 0]
    assert fractions.to_pylist() == [2 / 9, None, None, 0.0]
