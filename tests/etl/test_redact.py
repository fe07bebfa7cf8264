"""Redaction on texts small enough to check by eye, and against slicing of bytes."""

from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.redact import redact

SPANS = pa.list_(pa.struct([("kind", pa.string()), ("start", pa.int32()), ("end", pa.int32())]))


def run(texts: list[str], spans: list[list[tuple[str, int, int]]]) -> tuple[list[str], list[int]]:
    rows = [
        [{"kind": kind, "start": start, "end": end} for kind, start, end in row] for row in spans
    ]
    content, counts = redact(pa.array(texts, pa.string()), pa.array(rows, SPANS))
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
    assert redact(content, spans)[0].to_pylist() == ["<EMAIL>", "cc"]


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
