"""A hand-written positive and a hard negative for every format and every provider's context.

Keys are made at random from the form of each row of the table, by a generator of its own (no code of
the detectors), and put together here: none stands in this file and none is anybody's.
"""

from __future__ import annotations

import base64
import csv
import importlib.resources
import random
import re
import re._parser as parser
import string
import zlib

import pyarrow as pa
import pytest

from etl.facts.pii import scan

LETTERS = string.ascii_letters + string.digits


def rows(table: str) -> list[dict[str, str]]:
    with (importlib.resources.files("etl.data") / table).open(encoding="ascii") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def made_up(pattern: str, seed: int) -> str:
    """A string of the form `pattern`: every choice by the seed, repetitions near their least."""
    rng = random.Random(f"{seed} {pattern}")

    def characters(items: list[tuple[object, object]]) -> str:
        found = ""
        for kind, value in items:
            if str(kind) == "LITERAL":
                found += chr(value)  # type: ignore[arg-type]
            elif str(kind) == "RANGE":
                found += "".join(chr(i) for i in range(value[0], value[1] + 1))  # type: ignore[index]
        return found

    def build(parsed: object) -> str:
        text = ""
        for kind, value in parsed:  # type: ignore[attr-defined]
            name = str(kind)
            if name == "LITERAL":
                text += chr(value)
            elif name == "IN":
                text += rng.choice(
                    [c for c in characters(value) if c.isalnum()] or characters(value)[0]
                )
            elif name == "MAX_REPEAT":
                low, high, inner = value
                # at least 2, as some of a key's length where the least is none
                count = low if low > 2 else min(int(high), low + 1)
                text += "".join(build(inner) for _ in range(count))
            elif name == "SUBPATTERN":
                text += build(value[3])
            elif name == "BRANCH":
                text += build(rng.choice(value[1]))
            else:
                raise AssertionError(name)
        return text

    return build(parser.parse(pattern))


def found(text: str) -> list[tuple[str, str, str]]:
    [row] = scan(pa.array([text])).to_pylist()
    raw = text.encode()
    return [
        (span["kind"], span["detector"], raw[span["start"] : span["end"]].decode())
        for span in row["spans"]
    ]


def secret_part(pattern: str, key: str) -> str:
    match = re.fullmatch(pattern, key)
    assert match is not None
    return match[1] if match.re.groups else match[0]


FORMATS = rows("key_formats.tsv")
CONTEXTS = rows("key_contexts.tsv")
NAMES = {  # an example of a name, where the expression of names is no literal
    "aws_secret_key": "aws_secret_access_key",
    "azure": "azure_key",
    "circleci": "circle_token",
    "surge": "surge_token",
    "here_maps": "here_api_key",
    "facebook": "facebook_secret",
    "vercel": "vercel_token",
}


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row["rule"])
def test_a_key_of_each_format_is_found_whole(row: dict[str, str]) -> None:
    hits = 0
    for seed in range(5):
        key = made_up(row["pattern"], seed)
        expected = secret_part(row["pattern"], key)
        for text in (key, f"key: '{key}'\n", f"# é {key}\n"):
            spans = found(text)
            hits += any(kind == "key" and value == expected for kind, _, value in spans)
    assert hits >= 10  # of 15: a random key may repeat itself like an example


@pytest.mark.parametrize("row", FORMATS, ids=lambda row: row["rule"])
def test_an_example_of_each_format_is_none(row: dict[str, str]) -> None:
    key = made_up(row["pattern"], 1)
    part = secret_part(row["pattern"], key)
    tail = re.search(r"[A-Za-z0-9]{10,}=*$", part)
    if tail is None:
        pytest.skip("its last part is too short to be an example")
    for filler in ("x" * len(tail[0]), ("example" * 20)[: len(tail[0])]):
        text = key.replace(part, filler if tail.start() == 0 else part[: tail.start()] + filler)
        assert not [span for span in found(f"k = '{text}'") if span[1] == row["rule"]]
    assert not [span for span in found(f"Z{key}") if span[1] == row["rule"] and span[2] == key]


@pytest.mark.parametrize("row", CONTEXTS, ids=lambda row: row["rule"])
def test_a_key_of_each_provider_is_found_beside_its_name(row: dict[str, str]) -> None:
    name = NAMES.get(row["rule"]) or re.sub(
        r"\.\?|\.\{[^}]*\}|[?()]", "", row["name"].split("|")[0]
    )
    hits = tries = 0
    for seed in range(10):
        key = made_up(row["form"], seed)
        for text in (f'{name}_api_key = "{key}"', f"export {name.upper()}_SECRET={key}\n"):
            hits += any(kind == "key" and value == key for kind, _, value in found(text))
            tries += 1
    assert hits >= 0.5 * tries, (name, hits, tries)  # short ones of few digits look like words


@pytest.mark.parametrize("row", CONTEXTS, ids=lambda row: row["rule"])
def test_words_placeholders_and_templates_beside_a_provider_are_none(row: dict[str, str]) -> None:
    name = NAMES.get(row["rule"]) or re.sub(
        r"\.\?|\.\{[^}]*\}|[?()]", "", row["name"].split("|")[0]
    )
    for value in (
        "your_api_key_goes_here",
        "${SECRET_FROM_ENV}",
        "x" * 32,
        "get_token_from_settings",
    ):
        assert found(f'{name}_api_key = "{value}"') == []


def base62(number: int) -> str:
    digits = string.digits + string.ascii_uppercase + string.ascii_lowercase
    text = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        text = digits[digit] + text
    return text


@pytest.mark.parametrize("prefix", ["ghp" + "_", "npm" + "_"])
def test_a_checksum_that_holds_makes_the_score_one(prefix: str) -> None:
    rng = random.Random(4)
    body = "".join(rng.choice(LETTERS) for _ in range(30))
    for tail, score in ((base62(zlib.crc32(body.encode())), 1.0), (base62(12345), 0.9)):
        [row] = scan(pa.array([prefix + body + tail])).to_pylist()
        assert [span["score"] for span in row["spans"]] == [pytest.approx(score)]


def test_a_macaroon_of_the_registry_makes_the_score_one() -> None:
    rng = random.Random(5)
    raw = b"\x02\x01\x08pypi" + b".org\x02$" + bytes(rng.randrange(256) for _ in range(90))
    token = "pypi" + "-" + base64.urlsafe_b64encode(raw).decode().rstrip("=")
    [row] = scan(pa.array([token])).to_pylist()
    assert [(span["detector"], span["score"]) for span in row["spans"]] == [("pypi_token", 1.0)]


def test_at_least_150_providers_are_known() -> None:
    names = {row["rule"].split("_")[0] for row in FORMATS + CONTEXTS}
    assert len(names) >= 150
