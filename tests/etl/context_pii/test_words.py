"""What becomes of tagged words: spans in bytes, and no span where the text cannot be such a thing."""

from __future__ import annotations

import pytest

from etl.context_pii.words import Word, shown, spans_of, word_bounds


def tagged(line: str, *entities: tuple[str, str]) -> list[Word]:
    """Every word of the line with the label that (entity, text) gives it."""
    places = []
    for entity, text in entities:
        start = line.index(text)
        places.append((start, start + len(text), entity))
    found = []
    for start, end in word_bounds(shown(line)):
        label = "O"
        for low, high, entity in places:
            if low <= start < high:
                label = f"{'B' if start == low else 'I'}-{entity}"
        found.append(Word(start, end, label, 0.9))
    return found


def values(line: str, *entities: tuple[str, str]) -> list[tuple[str, str]]:
    raw = line.encode()
    return [
        (s.kind, raw[s.start : s.end].decode()) for s in spans_of(line, tagged(line, *entities))
    ]


def test_spans_are_bytes_of_what_was_tagged() -> None:
    line = "é 🙂 # thanks to Jürgen Q. Doerfel, and by jdoerfel7!"
    assert values(line, ("NAME", "Jürgen Q. Doerfel"), ("USERNAME", "jdoerfel7")) == [
        ("name", "Jürgen Q. Doerfel"), ("username", "jdoerfel7"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "entity", "text"),
    [
        ("by Jane", "NAME", "Jane"),
        ("Classifier: Intended Reader :: Developers", "NAME", "Intended Reader"),
        ("# Return ChallengeBody from it", "NAME", "Return ChallengeBody"),
        ("#### JWK Elliptic Curve", "NAME", "JWK Elliptic Curve"),
        ("Encrypting Doerfel", "NAME", "Encrypting Doerfel"),
        ("by Acme Software Foundation", "NAME", "Acme Software Foundation"),
        ("by default value", "NAME", "default value"),
        ("user = root", "USERNAME", "root"),
        ("login(jdoerfel7)", "USERNAME", "jdoerfel7"),
        ("of the pure @octaldigits decorated function", "USERNAME", "octaldigits"),
        ("Use @octal_digits to add", "USERNAME", "octal_digits"),
        ("thanks to @guvectorize", "USERNAME", "guvectorize"),
        ("the password is password", "PASSWORD", "password"),
        ("the password is ${PASS}", "PASSWORD", "PASS"),
        ("the key is example_key_1234", "KEY", "example_key_1234"),
        ("x Jane Doerfel", "ORG", "Jane Doerfel"),
        ("типа индекса", "NAME", "типа индекса"),
        ("配置项的值", "NAME", "配置项"),
        ("see misc.rst", "USERNAME", "misc.rst"),
        ("fix uv_alloc_cb here", "USERNAME", "uv_alloc_cb"),
        ("the password is output_dir", "PASSWORD", "output_dir"),
        ("password of the pkcs12 certificate", "PASSWORD", "pkcs12 certificate"),
    ],
)
def test_what_cannot_be_such_a_thing_is_none(line: str, entity: str, text: str) -> None:
    assert values(line, (entity, text)) == []


@pytest.mark.parametrize(
    ("line", "entity", "text", "expected"),
    [
        ("# password is xK9!mf2.", "PASSWORD", "xK9", "xK9!mf2"),
        ("Log in as `jdoerfel7` first", "USERNAME", "jdoerfel7", "jdoerfel7"),
        ("as @jdoerfel7 said", "USERNAME", "jdoerfel7", "jdoerfel7"),
        ("/* by Jane Doerfel. */", "NAME", "Jane Doerfel.", "Jane Doerfel"),
        ("作者: 王小明", "NAME", "王小明", "王小明"),
        ("(Saúl Doerfel Corretgé)", "NAME", "Saúl Doerfel", "Saúl Doerfel Corretgé"),
        ("by Mark Doerfel", "NAME", "Mark Doerfel", "Mark Doerfel"),
        ("by Jane McDoerfel", "NAME", "Jane McDoerfel", "Jane McDoerfel"),
        ("by Jane Doerfel University", "NAME", "Jane Doerfel", "Jane Doerfel"),
    ],
)
def test_a_span_is_the_whole_value_and_nothing_else(
    line: str, entity: str, text: str, expected: str
) -> None:
    assert [value for _, value in values(line, (entity, text))] == [expected]


def test_a_holder_of_a_copyright_is_named_as_one_so_that_it_can_stay() -> None:
    line = "(c) 2020 Jane Doerfel"
    [span] = spans_of(line, tagged(line, ("NAME", "Jane Doerfel")))
    assert span.detector == "copyright_holder"


def test_two_people_next_to_each_other_are_two() -> None:
    line = "by Jane Doerfel, Bob Roebuck"
    assert len(values(line, ("NAME", "Jane Doerfel"), ("NAME", "Bob Roebuck"))) == 2


def test_a_line_is_shown_sign_by_sign_in_the_basic_plane() -> None:
    line = "a🙂b\tcड़ é王"
    assert len(shown(line)) == len(line)
    assert shown(line) == "a¤b c¤¤ e王"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Jane_Q. O'Neil-7b", ["Jane", "_", "Q", ".", "O", "'", "Neil", "-", "7b"]),
        ("王小 ab", ["王", "小", "ab"]),
        ("", []),
    ],
)
def test_words_are_runs_of_letters_and_digits_or_one_sign(line: str, words: list[str]) -> None:
    assert [line[start:end] for start, end in word_bounds(line)] == words
