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
    (" * @author       @jdoerfel7 <x@doerfel.io>", ["jdoerfel7"]),
    (" * @author Jane Doerfel https://doerfel.io @octo-cat9", ["octo-cat9"]),
    ("# TODO @jdoerfel7: check", ["jdoerfel7"]),
    ("# taken from code of the developer @jdoerfel7", ["jdoerfel7"]),
    ("// (Thanks to GitHub users @jane_or_joe and others)", ["jane_or_joe"]),
    ("# Copyright 2020 Jane Doerfel (jdoerfel)", ["jdoerfel"]),
    ("// Jane Doerfel @octo-cat9, 2020", ["octo-cat9"]),
    ("see http://www.cs.doerfel.edu/~jdoerfel7/code/a.html", ["jdoerfel7"]),
    ("<a href='http://doerfel.edu:8080/people/~jdoerfel7'>", ["jdoerfel7"]),
    ("# from https://gist.github.com/jdoerfel7/920215", ["jdoerfel7"]),
    ("# from https://gist.github.com/jdoerfel7/5f2e1c0a9b8d7e6f5a4b3c2d1e0f9a8b", ["jdoerfel7"]),
    ("https://gist.github.com/discover", []),
    ("https://launchpad.net/~jdoerfel7/tool", []),
    ("// Unit Test @octaldigits for numbers", []),
    ("# * @octaldigits", []),
    ("/* * - Jane @octaldigits", []),
    ("cp a.c ~jdoerfel7/x //www/~", []),
    ("# Author: Jane Doerfel <octocat99>", ["octocat99"]),
    ("// see bryk (github.com/jdoerfel7) for more", ["jdoerfel7"]),
    ("https://stackoverflow.com/users/66/jdoerfel7", ["jdoerfel7"]),
    ("cvsroot='/usr/home/jdoerfel7/repository'", ["jdoerfel7"]),
    ('authors = [\n  { name = "jdoerfel", email = "x@doerfel.io" },\n]', ["jdoerfel"]),
    ('"author": {"login": "jdoerfel7", "id": 7}', ["jdoerfel7"]),
    ("/* $Id: a.c,v 1.2 2003/04/05 12:13:14 jdoerfel7 Exp $ */", ["jdoerfel7"]),
    ("# $Id: a.py 123 2003-04-05 12:13:14Z jdoerfel7 $", ["jdoerfel7"]),
    ("// $LastChangedBy: jdoerfel7 $", ["jdoerfel7"]),
    ("/* $Id: a.c,v 1.2 2003/04/05 12:13:14 root Exp $ */", []),
    ("$Id: 5f2e1c0a9b8d7e6f5a4b3c2d1e0f9a8b7c6d5e4f $", []),
    ("# Copyright 2020 Jane Doerfel (rgb2hsv)", []),
    ("# Author: Jane Doerfel (mediocre)", []),
    ("# skipped where decorated with @innercode", []),
    ("returns [[@disabled-value]] objects", []),
    (r"[/\d*(@floatsuffix)/, 'number'], (r'(>)(@partial-block)', 1)", []),
    ("/0(@octaldigits)[Ll]?/", []),
    ("# looks at @see, @classdesc and @memberof", []),
    ("def XXX(canvas, document):", []),
    ("http://doerfel.github.com/tool/", []),
    ("{'Author': is_string_like, 'Title': 1}", []),
    ("Authors\n\n- Jane Doerfel\n- common_attributes9\n", []),
    ("/home/httpd/html", []),
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
    ("# see @octaldigits decorator of the module", []),
    ("replaced by @floatsuffix annotations", []),
    ("thanks to @jdoerfel7 tagging it", ["jdoerfel7"]),
    ("# Custom (@octaldigits) octaldigits embed it", []),
    ("- (#12, @njit) and by @guvectorize, too", []),
]


@pytest.mark.parametrize(("text", "logins"), LOGINS)
def test_a_login_is_taken_only_where_logins_stand(text: str, logins: list[str]) -> None:
    assert found(text, "username") == logins


def test_a_login_and_the_local_part_of_an_address_are_declared_for_the_repository() -> None:
    [row] = scan(pa.array(["# TODO(octo-cat9): x\nJane Doerfel <jdoerfel7@box.io>\n"])).to_pylist()
    logins = {hash_of(USERNAME, login) for login in (b"octo-cat9", b"jdoerfel7")}
    assert logins <= set(row["people"])


def test_owners_are_declared_by_lines_of_paths_and_accounts_alone() -> None:
    text = "*.py @octo-cat9\n/// @addmoregroups x\n* @othertag the value\n// @tscheckers\n"
    [row] = scan(pa.array([text])).to_pylist()
    assert row["people"] == [hash_of(USERNAME, b"octo-cat9")]


def test_a_mention_without_a_word_of_credit_before_it_is_not_looked_for_elsewhere() -> None:
    rows = scan(pa.array(["see @jdoerfel7 for more", "thanks to @jdoerfel7"])).to_pylist()
    assert [row["people"] for row in rows] == [[], [hash_of(USERNAME, b"jdoerfel7")]]
    assert all(len(row["spans"]) == 1 for row in rows)


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
    ("# Distutils interface (by Jane Doerfel)", ["Jane Doerfel"]),
    ("// The table by J. Q. Roebuck and\n// José Ñandú, 2005.", ["J. Q. Roebuck", "José Ñandú"]),
    ("# bug from Jane Doerfel's report", ["Jane Doerfel"]),
    ("# shader by [Jane Doerfel](https://doerfel.io/)", ["Jane Doerfel"]),
    ("(Thanks: Jane Doerfel)", ["Jane Doerfel"]),
    ("# Credit: Jane Doerfel", ["Jane Doerfel"]),
    ("__author__ = 'x@doerfel.io (Jane Doerfel)'", ["Jane Doerfel"]),
    ("copyright = u'2011, Jane Doerfel, Bob Roebuck'", ["Jane Doerfel", "Bob Roebuck"]),
    ("__copyright__ = '2014-2019, Jane Doerfel'", ["Jane Doerfel"]),
    ("# SPDX-FileCopyrightText: 2021 Jane Doerfel", ["Jane Doerfel"]),
    ("# Copyright 2006 Jane Doerfel    University of X", ["Jane Doerfel"]),
    ("// Copyright (c) 2017-2019 jane doerfel\n", ["jane doerfel"]),
    ("// - jane doerfel <jane@doerfel.io>", ["jane doerfel"]),
    (
        "# Author: Jane Doerfel\n#         Bob Roebuck\n#         José Ñandú (tests)\n# License: MIT",
        ["Jane Doerfel", "Bob Roebuck", "José Ñandú"],
    ),
    ("# Copyright (C) 2009  Jane Doerfel\n#               2010  Bob Roebuck\n", ["Jane Doerfel", "Bob Roebuck"]),
    ("# Authors: Jane Doerfel, Bob Roebuck,\n#   José Ñandú\n", ["Jane Doerfel", "Bob Roebuck", "José Ñandú"]),
    ("# Authors: Jane Doerfel, Bob Roebuck, and José Ñandú\n", ["Jane Doerfel", "Bob Roebuck", "José Ñandú"]),
    ("# Author: Jane Doerfel\n#\n# Iron Kettle\n", ["Jane Doerfel"]),
    ("# Author: Jane Doerfel\n# Iron Kettle Rules\n", ["Jane Doerfel"]),
    ("[Iron Kettle](https://github.com/octo9/tool)", []),
    ("AND THE AUTHOR DISCLAIMS ALL WARRANTIES", []),
    ("author: Robot Framework", []),
    ("Thanks to the Python Software Foundation", []),
    ("designed by Google", []),
    ("inspired by Apache Spark", []),
    ("2004-05-06  Release Notes\n", []),
    ("Authors: see the file", []),
    ("a stub implementation of Kettle APIs", []),
    ("packaged by Kettle Feature Store.", []),
    ("importance from Random Forests", []),
    ("inspired by LibKettle's WebKettle", []),
    ("used by Apache Kettle and others", []),
    ("sorted by Grouping Nodes.", []),
    ("from Jane import Doerfel", []),
    ("Jane Doerfel <jane@example.com>", []),
    ("please mail us <mail@doerfel.io>", []),
    ("// copyright notice and this permission", []),
]  # fmt: skip


@pytest.mark.parametrize(("text", "names"), NAMES)
def test_credits_name_people_and_no_organisation(text: str, names: list[str]) -> None:
    assert found(text, "name") == names
