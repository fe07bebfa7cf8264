"""The page adds up, holds strangers' names harmlessly and asks for nothing from outside."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

from etl.report import (
    Bin,
    Cluster,
    ErrorExample,
    Found,
    Job,
    ReportData,
    Share,
    Step,
    render,
    size,
    summary,
)

EMPTY = ReportData(
    title="test corpus", made_at="2026-01-01 00:00 UTC", version="0", refresh_id="r", config_hash="c",
    lake="build/lake", num_repos=0, files_in=0, bytes_in=0, kept_files=0, kept_bytes=0,
    corpus_bytes=0, num_redactions=0, num_languages=0,
)  # fmt: skip

FULL = dataclasses.replace(
    EMPTY,
    num_repos=3, files_in=100, bytes_in=5000, kept_files=60, kept_bytes=2000, num_languages=2,
    steps=(Step("binary", 10, 1000), Step("license", 30, 2000)),
    failed_rules=(Step("binary", 10, 1000), Step("license", 35, 2100)),
    languages=(Share("Python", 50, 3000, 40, 1500), Share("C", 40, 1000, 20, 500)),
    categories=(Share("permissive", 70, 3000, 60, 2000),),
    sizes=(Bin("0", 4, 0), Bin("64", 96, 60)),
    largest_clusters=(Cluster("ann/tool", "src/a.py", 9),),
    num_near_clusters=4, num_near_removed=7,
    near_sizes=(Bin("2", 3, 2), Bin("3", 1, 1)),
    similarities=(Bin("0.7", 2, 0), Bin("1", 5, 0)),
    found_kinds=(Found("email", 12, 5),), detectors=(Found("email", 12, 5),),
    errors=(Step("corrupt_archive", 1, 0),),
    error_examples=(ErrorExample("x.tar.gz", "corrupt_archive", "ends early"),),
    jobs=(Job("ingest", "done", 12.3),),
    table_versions=(("files", 3),),
)  # fmt: skip


class Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_in_is_kept_and_dropped() -> None:
    assert FULL.is_balanced
    assert not dataclasses.replace(FULL, kept_files=61).is_balanced
    page = Page(render(FULL)).text
    assert "60 of 100 files became the corpus" in page
    assert re.search(r"license\s*−30", page)


def test_near_duplicates_have_their_pictures() -> None:
    page = Page(render(FULL))
    assert "4 clusters link contents of other texts; 7 files were set aside" in page.text
    titles = {attributes.get("title") for _, attributes in page.tags}
    assert {"2: 2 of 3 files kept", "0.7: 0 of 2 files kept"} <= titles


def test_an_empty_corpus_is_a_page_too() -> None:
    assert "0 of 0 files" in Page(render(EMPTY)).text
    assert "= kept" in summary(EMPTY)


def test_a_name_from_a_repository_is_text_and_nothing_else() -> None:
    evil = "<script>alert(1)</script>\"'><img src=x onerror=y>"
    data = dataclasses.replace(
        FULL,
        largest_clusters=(Cluster(evil, evil, 2),),
        error_examples=(ErrorExample(evil, evil, evil),),
        languages=(Share(evil, 1, 1, 1, 1),),
    )
    tags = {tag for tag, _ in Page(render(data)).tags}
    assert not tags & {"script", "img", "iframe", "link"}
    assert all(not name.startswith("on") for _, a in Page(render(data)).tags for name in a)


def test_the_page_asks_for_nothing_from_outside() -> None:
    text = render(FULL)
    assert not re.search(r"(?:src|href)\s*=|url\(|@import|https?://", text)
    assert 'name="viewport"' in text


def test_six_hundred_languages_and_a_long_path_are_no_trouble() -> None:
    many = tuple(Share(f"Language {index}", 600 - index, 1, 1, 1) for index in range(600))
    data = dataclasses.replace(
        FULL, languages=many, largest_clusters=(Cluster("r", "d/" * 2000, 10**12),)
    )
    assert "600 in all" in Page(render(data)).text


def test_numbers_are_short() -> None:
    assert [size(n) for n in (0, 999, 1234, 5_600_000, 67_500_000_000_000)] == [
        "0 B", "999 B", "1.23 kB", "5.6 MB", "67.5 TB",
    ]  # fmt: skip


def test_the_summary_shows_every_step() -> None:
    lines = summary(FULL).splitlines()
    found = [line.split() for line in lines]
    assert ["-", "license", "30", "2", "kB", "#######"] in found
    assert any(words[:3] == ["=", "kept", "60"] for words in found)
