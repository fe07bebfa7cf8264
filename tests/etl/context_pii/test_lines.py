"""Which lines are candidates, on texts small enough to check by eye and against slicing of the text."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.context_pii.lines import (
    CREDENTIAL,
    MAX_LINE_BYTES,
    PERSON,
    PROSE,
    candidate_lines,
    line_texts,
)
from etl.facts.pii import SPAN

NO_SPANS = pa.list_(SPAN)


def lines_of(
    text: str, is_prose: bool = False, spans: list[tuple[int, int]] | None = None
) -> list[tuple[str, int]]:
    rows = [
        {"kind": "name", "start": start, "end": end, "detector": "author", "score": 1.0}
        for start, end in spans or []
    ]
    content = pa.array([text])
    found = candidate_lines(content, np.array([is_prose]), pa.array([rows], NO_SPANS))
    texts = line_texts(content, found).to_pylist()
    return list(zip(texts, found.flatten().field("line_rank").to_pylist(), strict=True))


def test_code_gives_lines_with_a_cue_and_the_shape_of_what_it_speaks_of() -> None:
    text = (
        "import os\n"
        "  # thanks to Jane Doerfel\r\n"
        "x = Foo(Bar)  # by the parser\n"
        "# Jane Doerfel sat here\n"
        "# the author knows\n"
        "# log in with the password xK93mf2\n"
        "# a password is needed\n"
    )
    assert lines_of(text) == [
        ("# thanks to Jane Doerfel", PERSON),
        ("# log in with the password xK93mf2", CREDENTIAL),
    ]


def test_prose_gives_every_line_with_the_shape_of_a_name() -> None:
    text = "# Title\n\nWe met Jürgen Doerfel there.\nNothing here.\n* thanks @jdoerfel7\n"
    assert lines_of(text, is_prose=True) == [
        ("We met Jürgen Doerfel there.", PROSE),
        ("* thanks @jdoerfel7", PERSON),
    ]


def test_a_line_whose_names_are_found_already_is_none() -> None:
    text = "# thanks to Jane Doerfel"
    assert lines_of(text, spans=[(12, 24)]) == []
    assert lines_of(text + " and Bob Roebuck", spans=[(12, 24)]) == [
        (text + " and Bob Roebuck", PERSON)
    ]


def test_a_long_line_is_looked_at_around_its_cues_and_in_pieces_in_prose() -> None:
    text = "é " * 5000 + "thanks to Jane Doerfel " + "x " * 5000
    [(piece, rank)] = lines_of(text)
    assert "thanks to Jane Doerfel" in piece
    assert len(piece.encode()) <= MAX_LINE_BYTES
    assert rank == PERSON
    pieces = lines_of("We met Jane Doerfel there, and " * 100, is_prose=True)
    assert len(pieces) > 5
    assert all(len(piece.encode()) <= MAX_LINE_BYTES for piece, _ in pieces)


def test_a_line_of_a_hundred_megabytes_is_passed_in_pieces() -> None:
    text = "a" * 50_000_000 + " thanks to Jane Doerfel " + "b" * 50_000_000
    assert ["thanks to Jane Doerfel" in piece for piece, _ in lines_of(text)] == [True]
    assert lines_of("A" * 1_000_000, is_prose=True) == []


def test_equal_lines_have_equal_hashes_wherever_they_stand() -> None:
    content = pa.array(
        ["# by Jane Doerfel\n", None, "x\n\t# by Jane Doerfel", "# by Jane Doerfell"]
    )
    found = candidate_lines(content, np.zeros(4, bool), pa.array([[]] * 4, NO_SPANS)).to_pylist()
    first, null, second, other = ([line["line_hash"] for line in row or []] for row in found)
    assert null == []
    assert first == second != other
    sliced = candidate_lines(
        content[2:], np.zeros(2, bool), pa.array([[]] * 2, NO_SPANS)
    ).to_pylist()
    assert sliced == found[2:]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(
            st.sampled_from(
                ["by", "Jane ", "Doe", "\n", " ", "é", "🙂", "thanks", "@x1y2", "password", "9a"]
            )
        ),
        max_size=4,
    ),
    st.booleans(),
)
def test_lines_are_parts_of_the_text_in_order_without_overlap(
    rows: list[str], is_prose: bool
) -> None:
    texts = ["".join(row) for row in rows]
    content = pa.array(texts, pa.string())
    found = candidate_lines(
        content, np.full(len(texts), is_prose), pa.array([[]] * len(texts), NO_SPANS)
    )
    values = line_texts(content, found)
    values.validate(full=True)
    number = 0
    for text, row in zip(texts, found.to_pylist(), strict=True):
        last = 0
        for line in row:
            raw = text.encode()[line["start"] : line["end"]]
            assert line["start"] >= last
            assert raw.decode() == values[number].as_py()
            assert b"\n" not in raw
            last, number = line["end"], number + 1


@pytest.mark.parametrize("is_prose", [False, True])
def test_no_text_gives_no_lines(is_prose: bool) -> None:
    assert lines_of("", is_prose) == []
    empty = candidate_lines(pa.array([], pa.string()), np.zeros(0, bool), pa.array([], NO_SPANS))
    assert len(empty) == 0
