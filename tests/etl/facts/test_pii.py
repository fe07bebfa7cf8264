"""Spans of e-mail addresses, IP addresses and keys: hand-written hits and look-alikes.

All values are made up for these tests; keys are put together so that none stands in this file.
"""

from __future__ import annotations

import base64
import random
import string
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.facts.pii import FIELDS, scan

RNG = random.Random(1)
LETTERS = string.ascii_letters + string.digits


def made_up(length: int, alphabet: str = LETTERS) -> str:
    return "".join(RNG.choice(alphabet) for _ in range(length))


def spans(text: str) -> list[tuple[str, str]]:
    """(kind, value) of each span."""
    [row] = scan(pa.array([text])).to_pylist()
    raw = text.encode()
    return [(span["kind"], raw[span["start"] : span["end"]].decode()) for span in row["spans"]]


def part(value: dict[str, str]) -> str:
    text = str(value).replace("'", '"').encode()
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


PEM_BODY = "\n".join(made_up(64) for _ in range(4))
PEM = f"-----BEGIN RSA PRIVATE KEY-----\n{PEM_BODY}\n-----END RSA PRIVATE KEY-----"
PEM_IN_STRING = PEM.replace("\n", "\\n")
JWT = f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part({'sub': 'somebody', 'n': '1'})}.{made_up(43)}"

KEYS = [
    "AKIA" + made_up(16, string.ascii_uppercase + "234567"),
    "ghp_" + made_up(36),
    "github_pat_" + made_up(82),
    "xoxb-" + "-".join([made_up(12, string.digits), made_up(12, string.digits), made_up(24)]),
    "AIza" + made_up(35),
    "sk_live_" + made_up(24),
    "npm_" + made_up(36),
    JWT,
    PEM,
    PEM_IN_STRING,
    PEM.replace(" RSA", ""),
    PEM.replace(PEM_BODY[:64], "b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtz"),
    f"-----BEGIN PRIVATE KEY-----\n{made_up(40)}/+//{made_up(20)}\n-----END PRIVATE KEY-----",
    f"{part({'alg': 'HS256'})}.{part({'sub': 'somebody', 'n': '1'})}.sig",
    "FwoGZXIvYXdzELf//////////wEa" + made_up(120),
]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_is_found_whole(key: str) -> None:
    for text in (key, f'key = "{key}"\n', f"é {key} ", f"x: {key}, y"):
        assert spans(text) == [("key", key)]


@pytest.mark.parametrize("key", KEYS[:7])
def test_a_key_inside_a_longer_word_or_cut_short_is_none(key: str) -> None:
    assert spans(f"x{key}") == []
    assert spans(key[: len(key) * 2 // 3]) == []


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "AIza" + "a" * 35,
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\n...\n-----END PRIVATE KEY-----",
        'if x == "-----BEGIN PRIVATE KEY-----":\n    read(until="-----END PRIVATE KEY-----")',
        "-----BEGIN PUBLIC KEY-----\n" + PEM_BODY + "\n-----END PUBLIC KEY-----",
        "eyJhbGciOi.eyJzdWIiOiJzb21lYm9keSJ9",
        "Zm9vYmFyeyJ4Ijox.eyJzdWIiOiJ4In0." + made_up(20),
    ],
)
def test_examples_and_headers_without_a_key_are_none(text: str) -> None:
    assert spans(text) == []


@pytest.mark.parametrize(
    "address",
    ["jane.doe@acme.io", "j+tag@mail.acme.co.uk", "J_D@ACME.COM", "a%b@x-y.museum", "9@q.cc"],
)
def test_an_address_is_found_whole(address: str) -> None:
    for text in (address, f"<{address}>", f"mailto:{address}", f"Jane {address}, x", f"{address}."):
        assert spans(text) == [("email", address)]


@pytest.mark.parametrize(
    "text",
    [
        "git@github.com:acme/repo.git",
        "user@host.acme.com:src/x",
        "ssh://git@acme.com/repo",
        "https://user:secret@acme.com/path",
        "icon@2x.png",
        "logo@dark.svg",
        "@pytest.mark.slow",
        "\n@app.route('/')",
        "lodash@4.17.21",
        "react@1.2.3-rc.abc",
        "A@B.T",
        "x = a@b.transpose()",
        "jane@example.com",
        "jane@mail.example.org",
        "root@localhost",
        "aes128-gcm@openssh.com",
        "root@box.localhost",
        "a@b",
        "a@b.c",
        "a@-b.com",
        "jane@@acme.com",
    ],
)
def test_what_looks_like_an_address_is_none(text: str) -> None:
    assert spans(text) == []


@pytest.mark.parametrize(
    "address",
    ["52.95.110.1", "203.14.7.200", "2a00:1450:4001:81b::200e", "2600:1f18:22ab:c00:1:2:3:4"],
)
def test_a_public_ip_address_is_found_whole(address: str) -> None:
    for text in (
        address,
        f'"{address}"',
        f"host={address}",
        f"at {address}.",
        f"http://{address}/",
    ):
        if text.startswith("http") and ":" in address:
            text = f"http://[{address}]/"
        assert spans(text) == [("ip_address", address)]


@pytest.mark.parametrize(
    "text",
    [
        "10.1.2.3",
        "192.168.0.1",
        "127.0.0.1",
        "255.255.255.0",
        "0.0.0.0",
        "224.0.0.251",
        "192.0.2.17",
        "198.51.100.7",
        "203.0.113.9",
        "8.8.8.8 is a dns server",
        "9.9.9.9",
        "1.2.3.4",
        "version 52.95.110.1",
        "Tool ≥ 52.95.110.1",
        "Tool ≤52.95.110.1",
        "pkg==52.95.110.1",
        "v52.95.110.1",
        '__version__ = "52.95.110.1"',
        "RFC 52, section 13.71.1.41",
        "java-52.95.110.1.jar",
        "Linux 52.95.110.1-generic",
        "52.95.110.1rc2",
        "1.3.6.1.4.1.311",
        "52.95.110.256",
        "52.95.110.01",
        'ObjectIdentifier("2.5.29.14")',
        "host\n    [MS-SMB2] 2.2.1.1 Packet Header",
        "    # 4.2.5.5\n    # The server SHOULD",
        "M8 8.75a.75.75 0 1 0 0-1.5.75.75 0 0 0 0 1.5",
        "2001:db8::1",
        "2000:10:30",
        "std::fmt::Display",
        "2fab::",
        "at 2021:10:11 12:30:45",
    ],
)
def test_what_is_no_public_ip_address_is_none(text: str) -> None:
    assert spans(text) == []


def test_a_short_address_counts_where_a_server_is_spoken_of() -> None:
    assert spans("dns server: 4.2.2.1") == [("ip_address", "4.2.2.1")]


def test_both_ends_of_a_range_are_found() -> None:
    assert [value for _, value in spans("52.95.110.1-52.95.110.9")] == [
        "52.95.110.1",
        "52.95.110.9",
    ]


def test_addresses_in_a_list_are_all_found() -> None:
    text = "52.95.110.1, 52.95.110.2, 52.95.110.3"
    assert spans(text) == [("ip_address", value) for value in text.split(", ")]


def test_offsets_are_bytes_in_order_and_do_not_overlap() -> None:
    text = f"é日 jane@acme.io 52.95.110.1 {KEYS[1]} joe@acme.io"
    row = scan(pa.array([text])).to_pylist()[0]["spans"]
    assert [span["kind"] for span in row] == ["email", "ip_address", "key", "email"]
    assert row[0]["start"] == 2 + 3 + 1
    assert all(one["end"] <= other["start"] for one, other in pairwise(row))


@pytest.mark.parametrize("value", ["jane@acme.io", "52.95.110.1", *KEYS])
def test_nothing_is_found_across_rows(value: str) -> None:
    for cut in range(1, len(value), 3):
        whole = scan(pa.array([value[:cut], value[cut:]])).to_pylist()
        alone = [scan(pa.array([half])).to_pylist()[0] for half in (value[:cut], value[cut:])]
        assert whole == alone


FRAGMENTS = st.sampled_from(
    [
        *(
            "jane@acme.io",
            "@",
            ".",
            "52.95.110.1",
            "a",
            " ",
            "\n",
            "é",
            "-",
            KEYS[0],
            KEYS[1],
            JWT,
            PEM,
        ),
        *("git@acme.io:x", "2a00:1450::1", ":", "9", "=="),
    ]
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | st.lists(FRAGMENTS, max_size=8).map("".join), max_size=8), st.data())
def test_rows_are_independent_of_their_batch(texts: list[str | None], data: st.DataObject) -> None:
    array = pa.array(texts, pa.string())
    start = data.draw(st.integers(0, len(texts)))
    length = len(texts) - start
    mask = data.draw(st.lists(st.booleans(), min_size=length, max_size=length))
    rows = scan(array[start:], np.array(mask, np.bool_)).to_pylist()
    for text, due, row in zip(texts[start:], mask, rows, strict=True):
        is_due = due and text is not None
        assert row == (scan(pa.array([text])).to_pylist()[0] if is_due else None)


def test_an_empty_batch_has_the_schema() -> None:
    assert scan(pa.array([], pa.string())).type == FIELDS
    assert scan(pa.array(["", None])).to_pylist() == [{"spans": [], "people": []}, None]
