"""Redaction on texts small enough to check by eye, and against slicing of bytes."""

import ast
import ipaddress
import re
import sysconfig
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.facts.pii import scan
from etl.facts.pii_people import find_people
from etl.redact import Fakes, redact

SPANS = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))


def run(texts: list[str], spans: list[list[tuple[str, int, int]]]) -> tuple[list[str], list[int]]:
    rows = [
        [{"kind": kind, "start": start, "end": end} for kind, start, end in row] for row in spans
    ]
    content, counts = redact(pa.array(texts, pa.string()), [pa.array(rows, SPANS)])
    content.validate(full=True)
    return content.to_pylist(), counts.to_pylist()


def test_each_span_is_replaced_and_the_rest_is_copied() -> None:
    texts = ["mail ann@ex.org or bob@ex.org.", "nothing here", "", "k=AKIA!"]
    spans = [[("email", 5, 15), ("email", 19, 29)], [], [], [("key", 2, 6)]]
    assert run(texts, spans) == (
        ["mail <EMAIL> or <EMAIL>.", "nothing here", "", "k=<KEY>!"],
        [2, 0, 0, 1],
    )


def test_offsets_count_utf8_bytes() -> None:
    assert run(["é: a@b.de ü"], [[("email", 4, 10)]]) == (["é: <EMAIL> ü"], [1])


def test_overlapping_spans_become_one_replacement_named_by_the_first() -> None:
    assert run(["abcdefgh"], [[("key", 1, 4), ("email", 3, 6)]]) == (["a<KEY>gh"], [1])
    assert run(["abcdefgh"], [[("key", 1, 6), ("email", 2, 4)]]) == (["a<KEY>gh"], [1])


def test_touching_spans_of_two_kinds_stay_two() -> None:
    assert run(["abcd"], [[("key", 0, 2), ("email", 2, 4)]]) == (["<KEY><EMAIL>"], [2])


def test_an_unknown_kind_is_left_alone() -> None:
    assert run(["abcd"], [[("colour", 0, 2)]]) == (["abcd"], [0])


def test_a_span_beyond_the_text_is_cut_to_it() -> None:
    assert run(["abcd", "efgh"], [[("key", 2, 99)], []]) == (["ab<KEY>", "efgh"], [1, 0])


def test_a_sliced_array_is_read_at_its_offset() -> None:
    content = pa.array(["xx", "a@b", "cc"], pa.string()).slice(1)
    spans = pa.array([[], [{"kind": "email", "start": 0, "end": 3}], []], SPANS).slice(1)
    assert redact(content, [spans])[0].to_pylist() == ["<EMAIL>", "cc"]


@settings(deadline=None)  # kernels are compiled at the first call
@given(
    st.lists(
        st.tuples(
            st.text("abé\n", max_size=12),
            st.lists(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=4),
        ),
        max_size=5,
    )
)
def test_redaction_equals_masking_byte_by_byte(rows: list[tuple[str, Any]]) -> None:
    """Independent truth: mark each covered byte; a maximal run of marks is one replacement."""
    texts = [text for text, _ in rows]
    # spans must not cut a character: take them in characters
    spans = []
    for text, pairs in rows:
        ends = [len(text[:index].encode()) for index in range(len(text) + 1)]
        spans.append(
            [
                ("key", ends[min(low, len(text))], ends[min(high, len(text))])
                for low, high in pairs
                if low < high
            ]
        )
    expected = []
    for text, row in zip(texts, spans, strict=True):
        raw = text.encode()
        marks = [any(start <= i < end for _, start, end in row) for i in range(len(raw))]
        out = b""
        for index, byte in enumerate(raw):
            if not marks[index]:
                out += bytes([byte])
            elif index == 0 or not marks[index - 1]:
                out += b"<KEY>"
        expected.append(out.decode())
    assert run(texts, spans)[0] == expected


def test_what_stays_keeps_what_lies_in_it_and_the_rest_is_replaced() -> None:
    kinds = pa.list_(pa.struct([*SPANS.value_type, ("detector", pa.string())]))
    holder = {"kind": "name", "start": 4, "end": 12, "detector": "copyright_holder"}
    mail = {"kind": "email", "start": 14, "end": 20, "detector": "email"}
    found = pa.array(
        [[{"kind": "name", "start": 4, "end": 12}, {"kind": "name", "start": 22, "end": 30}]], SPANS
    )
    content, counts = redact(
        pa.array(["(c) Jane Doe <a@b.cc> Jane Doe"]),
        [pa.array([[mail, holder]], kinds), found],
        keep=("copyright_holder",),
    )
    assert content.to_pylist() == ["(c) Jane Doe <<EMAIL>> <NAME>"]
    assert counts.to_pylist() == [2]


def test_made_up_values_have_the_form_of_what_they_stand_for() -> None:
    fakes = Fakes(b"a key of these tests")
    values = {
        "email": (b"jane@acme.io", rb"user-[0-9a-f]{10}@example\.com"),
        "key": (b"aB3-xY\\n\\x41z", rb"[a-z][A-Z]\d-[a-z][A-Z]\\n\\x41[a-z]"),
        "password": ("pä5!".encode(), rb"[a-z]{3}\d!"),
        "name": (b"Jane Doe", rb"[A-Z][a-z]+ [A-Z][a-z]+"),
    }
    for kind, (value, form) in values.items():
        made_up = fakes.text("repo", kind, value)
        assert re.fullmatch(form, made_up), (kind, made_up)
        assert made_up == fakes.text("repo", kind, value)
    for value in (b"52.95.110.1", b"2a00:1450::200e"):
        address = ipaddress.ip_address(fakes.text("repo", "ip_address", value).decode())
        assert address.is_private
        assert address.version == (6 if b":" in value else 4)
    assert len({fakes.text(repo, "username", b"jane") for repo in "abcdefgh"}) == 8
    assert Fakes(b"another key").text("r", "email", b"a@b.cc") != fakes.text(
        "r", "email", b"a@b.cc"
    )


@pytest.mark.slow
def test_redacted_code_still_parses() -> None:
    """Thousands of Python files of this environment: tags or made-up values, every kind, nothing kept."""
    texts = []
    for path in sorted(Path(sysconfig.get_path("purelib")).rglob("*.py")):
        raw = path.read_bytes()
        if len(raw) < 60_000 and raw.isascii():
            texts.append(raw.decode())
    texts = texts[:: max(1, len(texts) // 6000)]
    content = pa.array(texts)
    facts = scan(content)
    everybody = sorted({value for row in facts.field("people").to_pylist() for value in row})
    people = find_people(content, pa.array([everybody] * len(texts), pa.list_(pa.int64())))
    spans = facts.field("spans")
    fakes = Fakes(b"a key of these tests")
    forms = [
        redact(content, [spans, people])[0].to_pylist(),
        redact(content, [spans, people], fakes=fakes, repo_ids=pa.array(["r"] * len(texts)))[
            0
        ].to_pylist(),
    ]
    num_changed = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # escapes that Python does not know
        for text, *redacted in zip(texts, *forms, strict=True):
            if redacted[0] != text and parses(text):
                num_changed += 1
                assert all(map(parses, redacted))
    assert len(texts) > 3000
    assert num_changed > 300


def parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError):
        return False
    return True
