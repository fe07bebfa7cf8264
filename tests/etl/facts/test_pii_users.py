"""User names and credited people, on lines whose right answer a reader can see."""

from __future__ import annotations

import pyarrow as pa
import pytest

from etl.facts.pii import scan
from etl.facts.pii_names import USERNAME, hash_of


def found(text: str, kind: str) -> list[str]:
    [row] = scan(pa.array([text])).to_pylist()
    raw = text.encode()
    return [raw[s["start"] : s["end"]].decode() for s in row["spans"] if s["kind"] == kind]


LOGINS = [
    ("- Fixed the parser, thanks to @jdoerfel7", ["jdoerfel7"]),
    ("* New option (#12, @jdoerfel7)", ["jdoerfel7"]),
    ("- [@jdoerfel7](https://github.com/jdoerfel7)", ["jdoerfel7", "jdoerfel7"]),
    ("see https://github.com/jdoerfel7 for more", ["jdoerfel7"]),
    ("# TODO(jdoerfel7): check", ["jdoerfel7"]),
    ("# FIXME(jdoerfel7, octo-cat9): check", ["jdoerfel7", "octo-cat9"]),
    ("open('/home/jdoerfel7/src/a.py')", ["jdoerfel7"]),
    ("C:\\Users\\jdoerfel7\\Desktop", ["jdoerfel7"]),
    ("$ ssh jdoerfel7@build.doerfel.io", ["jdoerfel7"]),
    (" * @author jdoerfel7", ["jdoerfel7"]),
    ("é thanks @jdoerfel7 für", ["jdoerfel7"]),
    ("Maintainer-email: jdoerfel7 <x@doerfel.io>", ["jdoerfel7"]),
    ("setup(author='jdoerfel7')", ["jdoerfel7"]),
    ("[jdoerfel7](https://github.com/jdoerfel7/tool)", ["jdoerfel7"]),
    ("`jdoerfel7 <https://github.com/jdoerfel7/tool>`__", ["jdoerfel7"]),
    ("Authors\n\n* Jane Doerfel,\n* octo-cat9,\n* jdoerfel7\n", ["octo-cat9", "jdoerfel7"]),
    ("[kettle9](https://github.com/kettle9/kettle9)", []),
    ("f(x, #12)\n    @property\n    def g(self): ...", []),
    ("thanks to @doerfel-bot", []),
    ("C:\\Users\\currentuser\\x", []),
    ("  @property\n  def f(self): ...", []),
    ("/* @param value the value */", []),
    ("import x from '@babel/core' and @types/node", []),
    ("@media screen", []),
    ("git@github.com:acme/tool.git", []),
    ("https://github.com/jdoerfel7/tool", []),
    ("https://api.github.com/rate_limit", []),
    ("cd /home/user/src", []),
    ("GET https://doerfel.io/home/jdoerfel7", []),
    ("# TODO(b/1234): x", []),
    ("class todo(nodes.Admonition, nodes.Element):", []),
    ("# TODO(gh-123): x", []),
    ("`thanks to @jdoerfel7`", []),
    ("author: the team of this package", []),
    ("author = get_author()", []),
    ("    @hour @ipaddress7 @jdoerfel7 @homedrive", []),
    ("author = current_owner9", []),
]


@pytest.mark.parametrize(("text", "logins"), LOGINS)
def test_a_login_is_taken_only_where_logins_stand(text: str, logins: list[str]) -> None:
    assert found(text, "username") == logins


def test_a_login_and_the_local_part_of_an_address_are_declared_for_the_repository() -> None:
    [row] = scan(pa.array(["# TODO(octo-cat9): x\nJane Doerfel <jdoerfel7@box.io>\n"])).to_pylist()
    logins = {hash_of(USERNAME, login) for login in (b"octo-cat9", b"jdoerfel7")}
    assert logins <= set(row["people"])


NAMES = [
    ("- Fix it. Patch by Jane Doerfel.", ["Jane Doerfel"]),
    ("Thanks to Jane Doerfel, Bob Roebuck and José Ñandú for help", ["Jane Doerfel", "Bob Roebuck", "José Ñandú"]),
    ("# Reported by Jane van Doerfel in #12", ["Jane van Doerfel"]),
    ("Photo by Jane Doerfel (CC BY)", ["Jane Doerfel"]),
    (
        "Contributors\n============\n\n* Jane Doerfel\n* Bob Roebuck -- French\n\nLicense\n",
        ["Jane Doerfel", "Bob Roebuck"],
    ),
    ("Authors:\n    Jane Doerfel\n    Bob Roebuck\n\nSee Also: more", ["Jane Doerfel", "Bob Roebuck"]),
    ('"author": {\n  "name": "Jane Doerfel",\n  "url": "x"\n}', ["Jane Doerfel"]),
    ('"contributors": [\n  {"name": "Jane Doerfel"},\n  {"name": "Bob Roebuck"}\n]', ["Jane Doerfel", "Bob Roebuck"]),
    ('authors = [\n  { name = "Jane Doerfel" },\n]', ["Jane Doerfel"]),
    ("<developers>\n<developer>\n<name>Jane Doerfel</name>", ["Jane Doerfel"]),
    ("\n2004-05-06  Jane Doerfel\n\n\t* a.c: new", ["Jane Doerfel"]),
    ("\n# Jane Doerfel, 2012.\n", ["Jane Doerfel"]),
    (".. codeauthor:: Jane Doerfel", ["Jane Doerfel"]),
    ('author="Jane Q. Doerfel"', ["Jane Q. Doerfel"]),
    ("# Copyright 2020 Jane Q. Doerfel. All rights", ["Jane Q. Doerfel"]),
    ("with many contributors over time:\n\n* Jane Doerfel,\n* Bob Roebuck", ["Jane Doerfel", "Bob Roebuck"]),
    ("[Jane Doerfel](https://github.com/octo9)", ["Jane Doerfel"]),
    ("`Jane Doerfel <https://github.com/jdoerfel/tool>`_", ["Jane Doerfel"]),
    ("[Iron Kettle](https://github.com/octo9/tool)", []),
    ("AND THE AUTHOR DISCLAIMS ALL WARRANTIES", []),
    ("author: Robot Framework", []),
    ("Thanks to the Python Software Foundation", []),
    ("designed by Google", []),
    ("inspired by Apache Spark", []),
    ("2004-05-06  Release Notes\n", []),
    ("Authors: see the file", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), NAMES)
def test_credits_name_people_and_no_organisation(text: str, names: list[str]) -> None:
    assert found(text, "name") == names
