"""The people of a repository, found in its files: on texts and lakes small enough to check by eye."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from etl.assemble import FAKE_KEY, AssembleConfig, assemble
from etl.decide import DecideConfig, decide
from etl.errors import ConfigError
from etl.facts.pii import scan
from etl.facts.pii_names import FIRST_WORD, FULL_NAME, USERNAME, hash_of, person_hashes
from etl.facts.pii_people import find_people
from etl.gazetteer import MAX_HASHES, gazetteers
from etl.tables import CORPUS
from tests.etl import by_hand
from tests.etl.memory import MemoryLake

JANE = sorted(
    person_hashes("Jane Q. Döring", "jdoering7@box.local")
    + person_hashes("octo-cat9", "1+octo-cat9@users.noreply.github.com")
    + person_hashes("Guido van Rossum", "")
)


def values(text: str, people: list[int] = JANE) -> list[tuple[str, str]]:
    [row] = find_people(pa.array([text]), pa.array([people], pa.list_(pa.int64()))).to_pylist()
    raw = text.encode()
    return [(span["kind"], raw[span["start"] : span["end"]].decode()) for span in row]


def test_names_are_found_as_words_in_either_case() -> None:
    text = "é by Jane Q. Döring, JANE Q Döring and Guido van Rossum."
    assert values(text) == [
        ("name", "Jane Q. Döring"), ("name", "JANE Q Döring"), ("name", "Guido van Rossum"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["'{}'", '"{}",', "{}'s port", "{}' port", "[{}]", "({})"])
def test_a_name_is_found_in_quotes_and_as_an_owner(text: str) -> None:
    assert values(text.format("Jane Q. Döring")) == [("name", "Jane Q. Döring")]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("/// by @octo-cat9", True),
        ("/// @octo-cat9", True),
        ("- @octo-cat9", True),
        ("* @octo-cat9", True),
        ("  * @octo-cat9 {string}", False),
        ("  @octo-cat9", False),
    ],
)
def test_a_tag_of_documentation_and_a_decorator_mention_nobody(text: str, is_one: bool) -> None:
    assert values(f"{text}\n") == ([("username", "octo-cat9")] if is_one else [])


@pytest.mark.parametrize(
    "text",
    [
        "Jane", "Guido van Rossumer", "Jane_Q._Döring", "guido van rossum", "Guido\nvan Rossum",
        "xGuido van Rossum", "Guido van", "@octo-cat9\ndef f(): pass", "octo-cat9", "x@octo-cat9y",
        "the ``@octo-cat9`` of", "use @octo-cat9 decorators", "import octo-cat9", "TODO(octo)", "@octo-cat9/package",
    ],
)  # fmt: skip
def test_parts_longer_words_and_bare_user_names_are_none(text: str) -> None:
    assert values(text) == []


def test_user_names_count_where_user_names_stand() -> None:
    text = (
        "# thanks @octo-cat9\n# TODO(jdoering7): x\ncd /home/octo-cat9/src github.com/octo-cat9/x\n"
    )
    assert [kind for kind, _ in values(text)] == ["username"] * 3


def test_a_declared_address_is_found_though_no_pattern_takes_it() -> None:
    assert values("mail jdoering7@box.local!") == [("email", "jdoering7@box.local")]


@pytest.mark.parametrize(
    "name",
    ["Default User", "Acme Inc", "The Authors", "Python Software Foundation", "root", "Test"],
)
def test_words_roles_and_organisations_are_nobody(name: str) -> None:
    assert person_hashes(name, "") == []


def test_rows_are_looked_up_in_their_own_list() -> None:
    texts = pa.array(["Guido van Rossum"] * 3)
    found = find_people(texts, pa.array([JANE, [], None], pa.list_(pa.int64()))).to_pylist()
    assert [len(row) for row in found] == [1, 0, 0]
    sliced = find_people(texts[1:], pa.array([[], JANE, JANE], pa.list_(pa.int64()))[1:])
    assert [len(row) for row in sliced.to_pylist()] == [1, 1]


def test_a_name_of_the_next_repository_is_not_found_in_this_one() -> None:
    """Lists lie end to end: the first hash of the next must not be taken for the last of this one."""
    lower, higher = sorted(JANE)[0], sorted(JANE)[-1]
    lists = pa.array([[lower - 1], sorted(JANE), [higher + 1]], pa.list_(pa.int64()))
    found = find_people(pa.array(["Guido van Rossum"] * 3), lists).to_pylist()
    assert [len(row) for row in found] == [0, 1, 0]
    for own in JANE:
        split = pa.array([[own - 1], [own]], pa.list_(pa.int64()))
        alone = pa.array([[own - 1], []], pa.list_(pa.int64()))
        texts = pa.array(["Guido van Rossum @jdoering7 jdoering7@box.local", "x"])
        assert find_people(texts, split).to_pylist() == find_people(texts, alone).to_pylist()


DECLARING: list[tuple[str, list[str], list[str]]] = [  # a text, its names, its logins
    (
        "Copyright (c) 2012-2020 Jane Doerfel, Bob Roebuck. All rights reserved.",
        ["Jane Doerfel", "Bob Roebuck"],
        [],
    ),
    ("# © 2020 Jürgen Müller and contributors", ["Jürgen Müller"], []),
    (" * @author Jane Doerfel", ["Jane Doerfel"], []),
    ('__author__ = "Jane Doerfel"', ["Jane Doerfel"], []),
    ("Signed-off-by: Jane van Doerfel <jane@doerfel.io>", ["Jane van Doerfel"], ["jane"]),
    ('"author": "Jane Doerfel",', ["Jane Doerfel"], []),
    ("Jane Doerfel <jane@doerfel.io> <old@doerfel.io>", ["Jane Doerfel"], ["jane"]),
    ("Copyright 2020 Google Inc. All rights reserved.", [], []),
    ("Author: Doerfel Face, Inc.", [], []),
    ("Copyright (c) The Regents of the University", [], []),
    ("copyright notice and this permission notice", [], []),
    ("author = get_author()", [], []),
    ("the author of Some Class shall", [], []),
]


@pytest.mark.parametrize(("text", "names", "logins"), DECLARING)
def test_files_declare_names_where_they_state_them(
    text: str, names: list[str], logins: list[str]
) -> None:
    [row] = scan(pa.array([text])).to_pylist()
    raw = text.encode()
    found = [raw[s["start"] : s["end"]].decode() for s in row["spans"] if s["kind"] == "name"]
    assert found == names
    assert len(row["people"]) == len(
        {word for name in names for word in (name, name.split()[0])}
    ) + len(logins)
    expected = [hash_of(USERNAME, login.encode()) for login in logins]
    for name in names:
        expected.append(hash_of(FIRST_WORD, name.split()[0].encode()))
        expected.append(hash_of(FULL_NAME, name.encode()))
    assert sorted(row["people"]) == sorted(expected)


@pytest.mark.parametrize("text", ["# not implemented by Zyx Storage", "@author Zyx APIs"])
def test_what_may_be_a_product_is_not_looked_for_in_other_files(text: str) -> None:
    [row] = scan(pa.array([text])).to_pylist()
    assert row["people"] == []


def test_owners_are_declared_as_user_names() -> None:
    text = "# owners\n/src/ @octo-cat9 @acme/team @jdoering7\n"
    [row] = scan(pa.array([text])).to_pylist()
    found = [(span["kind"], text[span["start"] : span["end"]]) for span in row["spans"]]
    assert found == [("username", "jdoering7")]  # by its own form; the list of people finds both
    owners = [hash_of(USERNAME, login) for login in (b"octo-cat9", b"jdoering7")]
    assert sorted(row["people"]) == sorted(owners)


TEXT = "# as Guido van Rossum, mail jdoering7@box.local\n"
HOLDER = "Copyright (c) 2012 Jane Doerfel <jane@doerfel.io>\nJane Doerfel wrote it. See Guido van Rossum.\n"


@pytest.fixture
def lake(spark: Any) -> MemoryLake:
    return MemoryLake(spark)


def corpus_of(lake: MemoryLake, **config: Any) -> dict[tuple[str, str], str]:
    decide(lake, DecideConfig())
    assemble(lake, AssembleConfig(**config))
    return {(row["repo_name"], row["path"]): row["content"] for row in lake.read(CORPUS).collect()}


def file(repo: str, path: str, text: str, **more: Any) -> dict[str, Any]:
    [row] = scan(pa.array([text])).to_pylist()
    return {
        "repo": repo, "path": path, "text": text, "spans": row["spans"], "declared": row["people"],
        **more,
    }  # fmt: skip


GUIDO = person_hashes("Guido van Rossum", "jdoering7@box.local")


@pytest.mark.spark
def test_what_a_repository_declares_is_redacted_in_all_of_its_files_and_in_no_other(
    lake: MemoryLake,
) -> None:
    by_hand.write(
        lake,
        [
            file("ann", "a.py", TEXT, people=GUIDO),
            file("ann", "b.py", HOLDER, people=GUIDO),
            file("bob", "c.py", TEXT + "x = 1\n"),
        ],
    )
    corpus = corpus_of(lake)
    assert corpus["ann", "a.py"] == "# as <NAME>, mail <EMAIL>\n"
    assert corpus["ann", "b.py"] == (
        "Copyright (c) 2012 Jane Doerfel <<EMAIL>>\n<NAME> wrote it. See <NAME>.\n"
    )
    assert corpus["bob", "c.py"] == TEXT + "x = 1\n"
    assert assemble(lake, AssembleConfig())["repos_written"] == 0
    assert assemble(lake, AssembleConfig(keep=()))["repos_written"] == 2


@pytest.mark.spark
def test_made_up_values_are_the_same_in_a_repository_and_need_a_key(
    lake: MemoryLake, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "mail joe@doerfel.io or joe@doerfel.io\n"
    by_hand.write(
        lake,
        [
            file("ann", "a.py", text),
            file("ann", "b.py", text + "\n"),
            file("bob", "c.py", "# " + text),
        ],
    )
    monkeypatch.delenv(FAKE_KEY, raising=False)
    with pytest.raises(ConfigError, match=FAKE_KEY):
        corpus_of(lake, replace_with="fakes")
    monkeypatch.setenv(FAKE_KEY, "a key of these tests")
    corpus = corpus_of(lake, replace_with="fakes")
    words = [word for key in sorted(corpus) for word in corpus[key].split() if "@" in word]
    assert len(words) == 6
    assert len(set(words[:4])) == 1
    assert len(set(words[4:])) == 1
    assert words[0] != words[5]
    assert all(word.endswith("@example.com") for word in words)
    monkeypatch.setenv(FAKE_KEY, "another key of these tests")
    assert corpus_of(lake, replace_with="fakes") != corpus


def letter(number: int) -> str:
    return chr(97 + number % 26)


@pytest.mark.spark
def test_a_repository_of_very_many_people_has_a_bounded_list(lake: MemoryLake) -> None:
    people = [
        value
        for i in range(1200)
        for value in person_hashes(f"Abcd{letter(i // 26)}{letter(i)} Xyz{letter(i // 676)}q", "")
    ]
    by_hand.write(lake, [file("ann", "a.py", "x = 1\n", people=people)])
    [row] = gazetteers(lake, by_hand.VERSIONS["pii_spans"]).collect()
    assert len(row["people"]) == MAX_HASHES
    assert row["people"] == sorted(row["people"])
