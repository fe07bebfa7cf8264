# ruff: noqa: E501 (tables of one case a line)
"""What texts, tags, notices and manifests mean: hand-written truths."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.licenses.candidates import extract
from etl.licenses.categories import CATEGORIES, PROPRIETARY, UNKNOWN, category, ids_of
from etl.licenses.detect import detect, detector_version, named
from etl.licenses.naming import gnu_licenses, points_elsewhere
from tests.etl.licenses import texts
from tests.etl.licenses.texts import gnu_notice


def stated(role: str, content: str) -> str | None:
    """What a file of this role and content means, read as the pipeline reads it."""
    text = extract(role, content)[1]
    return detect(role, text).expression if text is not None else None


GPL, LGPL, AGPL = (
    "GNU General Public License",
    "GNU Lesser General Public License",
    "GNU Affero General Public License",
)
GPL_2 = (
    texts.of_distribution("pygit2", "COPYING").partition("-------\n\n")[2].partition("------")[2]
)
GPL_2 = "GNU GENERAL PUBLIC LICENSE\n" + GPL_2.partition("GNU GENERAL PUBLIC LICENSE\n")[2]
CLASSPATH = """

"CLASSPATH" EXCEPTION TO THE GPL

Linking this library statically or dynamically with other modules is making a combined work based on
this library. Thus, the terms and conditions of the GNU General Public License cover the whole
combination. As a special exception, the copyright holders of this library give you permission to
link this library with independent modules to produce an executable.
"""

TEXTS = {
    "MIT": (texts.MIT, "MIT"),
    "MIT-0": (texts.MIT_0, "MIT-0"),
    "BSD-2": (texts.BSD_2, "BSD-2-Clause"),
    "BSD-3": (texts.BSD_3, "BSD-3-Clause"),
    "ISC": (texts.ISC, "ISC"),
    "Apache notice": (texts.APACHE_NOTICE, "Apache-2.0"),
    "Apache text": (texts.of_distribution("databricks_sdk", "LICENSE"), "Apache-2.0"),
    "MPL text": (texts.of_distribution("pathspec", "LICENSE"), "MPL-2.0"),
    "GPL-2 text": (GPL_2, "GPL-2.0-only"),
    "GPL-2 text, or-later notice": (
        gnu_notice(GPL, "2", or_later=True) + GPL_2,
        "GPL-2.0-or-later",
    ),
    "GPL-2 text, Classpath": (
        GPL_2 + CLASSPATH,
        "GPL-2.0-only WITH Classpath-exception-2.0",
    ),
    "GPL-2 notice": (gnu_notice(GPL, "2", or_later=False), "GPL-2.0-only"),
    "GPL-3 or later": (gnu_notice(GPL, "3", or_later=True), "GPL-3.0-or-later"),
    "LGPL-2.1 or later": (gnu_notice(LGPL, "2.1", or_later=True), "LGPL-2.1-or-later"),
    "LGPL-3": (gnu_notice(LGPL, "3", or_later=False), "LGPL-3.0-only"),
    "AGPL-3 or later": (gnu_notice(AGPL, "3", or_later=True), "AGPL-3.0-or-later"),
    "tag": ("SPDX-License-Identifier: MIT\n", "MIT"),
    "tag, comment": ("/* SPDX-License-Identifier: (GPL-2.0 OR MIT) */", "GPL-2.0-only OR MIT"),
    "tag, HTML": ("<!-- SPDX-License-Identifier: ISC -->", "ISC"),
    "tag, exception": (
        "SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note",
        "GPL-2.0-only WITH Linux-syscall-note",
    ),
    "tag, not ids": ("SPDX-License-Identifier: whatever we like", UNKNOWN),
    "tag, slash": ("SPDX-License-Identifier: MIT/GPL-2.0", "GPL-2.0-only AND MIT"),
    "tag decides between texts": (
        "SPDX-License-Identifier: MIT OR ISC\n\n" + texts.MIT + "\n" + texts.ISC,
        "MIT OR ISC",
    ),
    "tag hides no text": (
        texts.MIT + "\nFonts: SPDX-License-Identifier: OFL-1.1\n",
        "MIT AND OFL-1.1",
    ),
    "two texts": (texts.MIT + "\n" + texts.BSD_3, "BSD-3-Clause AND MIT"),
    "either or": (
        "This software may be used under the terms of either the MIT license or the ISC license,\n"
        "at your option.\n\n" + texts.MIT + "\n" + texts.ISC,
        "ISC OR MIT",
    ),
    # A choice names what it is between: the second text may be of a bundled part.
    "dual-licensed, between what is not said": (
        "This project is dual-licensed.\n\n" + texts.MIT + "\n" + texts.BSD_3,
        "BSD-3-Clause AND MIT",
    ),
    "dual-licensed": (
        "This project is dual-licensed under the MIT and the 3-clause BSD license.\n\n"
        + texts.MIT + "\n" + texts.BSD_3,
        "BSD-3-Clause OR MIT",
    ),
    "dual-licensed, GPL by its letters": (
        "Dual licensed: MIT or GPLv2, at your option.\n\n" + texts.MIT + "\n" + GPL_2,
        "GPL-2.0-only OR MIT",
    ),
    "dual-licensed with a commercial license, a part bundled": (
        "Dual-licensed: GPL version 2, or a commercial license\n\n" + GPL_2
        + "\nThis product includes jQuery:\n\n" + texts.MIT,
        "GPL-2.0-only AND MIT",
    ),
    "dual-licensed with a commercial license, a part named": (
        "Dual-licensed: GPL version 2, or a commercial license\n\nIncludes jQuery, which is MIT\n\n"
        + GPL_2 + "\n" + texts.MIT,
        "GPL-2.0-only AND MIT",
    ),
    "the choice of a tagged part excuses no text": (
        GPL_2 + "\nvendor/x: SPDX-License-Identifier: MIT OR GPL-2.0-only\n",
        "(MIT OR GPL-2.0-only) AND GPL-2.0-only",
    ),
    "the choice of a part": (
        GPL_2 + "\njQuery is dual licensed under the MIT or GPL licenses, at your option.\n\n" + texts.MIT,
        "GPL-2.0-only AND MIT",
    ),
    "GPL on a copyright line": (
        "Copyright (C) 2020 Foo. Licensed under the GPL v3.\n\n" + texts.MIT,
        "GPL-3.0-only AND MIT",
    ),
    "AGPL on a copyright line": (
        "App (c) 2020 Foo is AGPL-3.0 licensed, some parts are MIT:\n\n" + texts.MIT,
        "AGPL-3.0-only AND MIT",
    ),
    "GPL on a copyright line between texts": (
        texts.ISC + "\nCopyright 2019 Foo, GPLv2 only, see src/bar\n\n" + texts.MIT,
        "GPL-2.0-only AND ISC AND MIT",
    ),
    "proprietary on a copyright line": (
        "Copyright (c) 2020 Foo, proprietary, do not distribute\n\n" + texts.MIT,
        f"{UNKNOWN} AND MIT" if UNKNOWN < "MIT" else f"MIT AND {UNKNOWN}",
    ),
    "tag below a copyright line": (
        "Copyright (c) 2020 Foo is the holder\nSPDX-License-Identifier: GPL-3.0-only\n\n" + texts.MIT,
        "GPL-3.0-only AND MIT",
    ),
    "MIT, not to be sold": (
        "Commons Clause License Condition\nThe grant of rights under the License will not include, and\n"
        "the License does not grant to you, the right to Sell the Software.\n\n" + texts.MIT,
        f"{UNKNOWN} AND MIT" if UNKNOWN < "MIT" else f"MIT AND {UNKNOWN}",
    ),
    "dual-licensed examples only": (
        "The examples in the documentation are dual-licensed.\n\n" + texts.MIT + "\n" + texts.ISC,
        "ISC AND MIT",
    ),
    "or any later version is no choice between texts": (
        "Part of it: either version 2 of the GPL, or (at your option) any later version.\n\n"
        + texts.MIT + "\n" + texts.ISC,
        "ISC AND MIT",
    ),
    "pointer of packaging": (
        "This software is made available under the terms of *either* of the licenses\n"
        "found in LICENSE.APACHE or LICENSE.BSD. Contributions to this software is made\n"
        "under the terms of *both* these licenses.\n",
        None,
    ),
    "proprietary": (texts.PROPRIETARY, UNKNOWN),
    "reserved": ("Copyright 2020 Ann Example. All rights reserved.", UNKNOWN),
    "no license at all": ("Hello, world. " * 30, UNKNOWN),
    "proprietary that names MIT": (
        "All use is prohibited. Parts of the samples are under the MIT License.",
        f"{UNKNOWN} AND MIT" if UNKNOWN < "MIT" else f"MIT AND {UNKNOWN}",
    ),
    "MIT, not for commerce": (
        texts.MIT + "\nThe Software may not be used for commercial purposes.\n",
        f"{UNKNOWN} AND MIT" if UNKNOWN < "MIT" else f"MIT AND {UNKNOWN}",
    ),
    "MIT, with a part under the GPL": (
        texts.MIT + "\nThe file x.c is licensed under the GNU General Public License, version 2.\n",
        "GPL-2.0-only AND MIT",
    ),
    "MIT, with a preamble": ("# The Example Project\n\nby its authors\n\n" + texts.MIT, "MIT"),
    "free form": ("Released under the MIT License.", "MIT"),
    "free form, GPL": ("x is free software under the GNU GPL v3 or later.", "GPL-3.0-or-later"),
    "free form, no version": ("Distributed under the GPL.", "GPL-1.0-or-later"),
    "link": ("See https://opensource.org/licenses/MIT", "MIT"),
}  # fmt: skip


@pytest.mark.parametrize("case", TEXTS)
def test_a_text_means(case):
    content, expected = TEXTS[case]
    assert stated("text", content) == expected


def test_every_license_of_a_bundle_is_found_also_beside_tags():
    found = ids_of(stated("text", texts.of_distribution("matplotlib", "LICENSE")) or "")
    assert {"PSF-2.0", "OFL-1.1", "Apache-2.0", "CC0-1.0", "MIT", UNKNOWN} <= found


NAMES = {
    "MIT": "MIT", "mit": "MIT", "MIT License": "MIT", "The MIT License (MIT)": "MIT",
    "Expat": "MIT", "MIT-0": "MIT-0", "Apache 2.0": "Apache-2.0", "Apache-2": "Apache-2.0",
    "Apache License, Version 2.0": "Apache-2.0", "Apache License 2.0": "Apache-2.0",
    "The Apache Software License, Version 2.0": "Apache-2.0", "ASL 2.0": "Apache-2.0",
    "BSD": "BSD-3-Clause", "New BSD License": "BSD-3-Clause", "3-Clause BSD": "BSD-3-Clause",
    "BSD 2-Clause \"Simplified\" License": "BSD-2-Clause", "ISC License": "ISC",
    "GPL": "GPL-1.0-or-later", "GPLv2": "GPL-2.0-only", "GPLv2+": "GPL-2.0-or-later",
    "GPL-2.0": "GPL-2.0-only", "GPL-2.0+": "GPL-2.0-or-later", "GNU GPL v3": "GPL-3.0-only",
    "GNU General Public License, version 2": "GPL-2.0-only",
    "GNU General Public License v3 or later (GPLv3+)": "GPL-3.0-or-later",
    "GPLv2 with linking exception": "GPL-2.0-only",
    "GPL version 3 or any later version": "GPL-3.0-or-later",
    "LGPL": "LGPL-2.0-or-later", "LGPLv3": "LGPL-3.0-only", "LGPL 2.1+": "LGPL-2.1-or-later",
    "GNU Lesser General Public License v2.1": "LGPL-2.1-only",
    "GNU AGPLv3": "AGPL-3.0-only", "AGPL-3.0": "AGPL-3.0-only",
    "MPL 2.0": "MPL-2.0", "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Eclipse Public License - v 2.0": "EPL-2.0", "PSF": "PSF-2.0", "CC0": "CC0-1.0",
    "Public Domain": "LicenseRef-scancode-public-domain",
    "MIT OR Apache-2.0": "MIT OR Apache-2.0", "MIT or Apache 2.0": "Apache-2.0 OR MIT",
    "MIT and BSD": "BSD-3-Clause AND MIT", "(MIT) OR (GPLv2)": "GPL-2.0-only OR MIT",
    "MIT, GPLv3": "GPL-3.0-only AND MIT", "MIT/GPL": "GPL-1.0-or-later AND MIT",
    "BSD and (MIT or GPLv2)": "(GPL-2.0-only OR MIT) AND BSD-3-Clause",
    "MIT OR something of ours": f"{UNKNOWN} OR MIT" if UNKNOWN < "MIT" else f"MIT OR {UNKNOWN}",
    "UNLICENSED": PROPRIETARY, "Proprietary": PROPRIETARY, "Unlicense": "Unlicense",
    "Other/Proprietary License": PROPRIETARY, "Commercial": PROPRIETARY,
    "Dual MIT/Apache-2.0": UNKNOWN, "our own": UNKNOWN, "": UNKNOWN, "()": UNKNOWN, "( OR )": UNKNOWN,
}  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_means(name):
    assert named(name) == NAMES[name]


OSI = "License :: OSI Approved ::"
MANIFESTS = [  # role, content, expression
    ("package_json", '{"license": "UNLICENSED"}', PROPRIETARY),
    ("package_json", '{"license": "SEE LICENSE IN LICENSE.md"}', None),
    ("package_json", '{"license": "(MIT OR GPL-3.0)"}', "MIT OR GPL-3.0-only"),
    ("package_json", '{"licenses": [{"type": "MIT"}, {"type": "GPLv2"}]}', "GPL-2.0-only OR MIT"),
    ("package_json", '{"license": [""]}', UNKNOWN),
    ("cargo", '[package]\nlicense = "MIT/Apache-2.0"', "MIT OR Apache-2.0"),
    ("cargo", '[package]\nlicense = "Apache-2.0 WITH LLVM-exception"', "Apache-2.0 WITH LLVM-exception"),
    ("pyproject", '[project]\nlicense = "BSD-3-Clause AND MIT"', "BSD-3-Clause AND MIT"),
    ("pyproject", '[project]\nlicense = {text = "see LICENSE"}', None),
    ("setup_cfg", "[metadata]\nlicense = file: LICENSE.txt", None),
    ("setup_cfg", "[metadata]\nlicense = GPLv3+", "GPL-3.0-or-later"),
    ("pom", "<project><licenses><license><name>Apache License, Version 2.0</name></license><license>"
     "<name>GNU General Public License, version 2</name></license></licenses></project>",
     "Apache-2.0 AND GPL-2.0-only"),
    ("gemspec", "s.licenses = ['MIT', 'Ruby']", "MIT OR Ruby"),
    ("gemspec", "# s.license = 'MIT'\ns.license = 'AGPL-3.0'", "AGPL-3.0-only"),
    ("gemspec", "s.license = 'AGPL-3.0' # s.license = 'MIT'", "AGPL-3.0-only"),
    ("gemspec", "s.name = 'x' # s.license = 'MIT'", None),
    ("gemspec", "=begin\ns.license = 'MIT'\n=end\ns.license = 'AGPL-3.0'", "AGPL-3.0-only"),
    ("gemspec", "s.license = 'AGPL-3.0'\n__END__\ns.license = 'MIT'", "AGPL-3.0-only"),
    ("gemspec", "s.licenses = [\n  'AGPL-3.0', # 'MIT'\n]", "AGPL-3.0-only"),
    ("gemspec", "s.license = 'MIT'\ns.license = 'AGPL-3.0' if full?", "AGPL-3.0-only AND MIT"),
    ("gemspec", "s.license = 'MIT'\ns.license = 'MIT'", "MIT"),
    ("metadata", f"Classifier: {OSI} MIT License\n", "MIT"),
    ("metadata", f"Classifier: {OSI} BSD License\n", "BSD-3-Clause"),
    ("metadata", f"Classifier: {OSI} Apache Software License\n", "Apache-2.0"),
    ("metadata", f"Classifier: {OSI} GNU General Public License v2 (GPLv2)\n", "GPL-2.0-only"),
    ("metadata", f"Classifier: {OSI} GNU General Public License v3 or later (GPLv3+)\n", "GPL-3.0-or-later"),
    ("metadata", f"Classifier: {OSI} GNU Lesser General Public License v2 or later (LGPLv2+)\n", "LGPL-2.0-or-later"),
    ("metadata", f"Classifier: {OSI} GNU Affero General Public License v3\n", "AGPL-3.0-only"),
    ("metadata", f"Classifier: {OSI} Mozilla Public License 2.0 (MPL 2.0)\n", "MPL-2.0"),
    ("metadata", f"Classifier: {OSI} Common Development and Distribution License 1.0 (CDDL-1.0)\n", "CDDL-1.0"),
    ("metadata", f"Classifier: {OSI} MIT No Attribution License (MIT-0)\n", "MIT-0"),
    ("metadata", "Classifier: License :: Other/Proprietary License\n", PROPRIETARY),
    ("metadata", "Classifier: License :: Free for non-commercial use\n", UNKNOWN),
    ("metadata", "Classifier: License :: OSI Approved\n", None),
    ("metadata", "Classifier: License ::\n", None),
    ("metadata", f"License: Dual License\nClassifier: {OSI} MIT License\nClassifier: {OSI} BSD License\n", "BSD-3-Clause AND MIT"),
    ("metadata", f"License: MIT\nClassifier: {OSI} GNU General Public License v3 (GPLv3)\n", "GPL-3.0-only AND MIT"),
    ("metadata", f"License: MIT OR GPL-3.0-only\nClassifier: {OSI} GNU General Public License v3 (GPLv3)\n", "MIT OR GPL-3.0-only"),
    ("metadata", f"License: GPLv3\nClassifier: {OSI} MIT License\n", "GPL-3.0-only"),
    ("metadata", "License-Expression: MIT\nClassifier: License :: Other/Proprietary License\n", "MIT"),
    ("metadata", "License: Other/Proprietary License\n", PROPRIETARY),
    ("metadata", "License: Custom\n", UNKNOWN),
    ("metadata", "License: " + texts.MIT.replace("\n", "\n        ") + "\n", "MIT"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("role", "content", "expected"),
    MANIFESTS,
    ids=[f"{role}-{place}" for place, (role, *_) in enumerate(MANIFESTS)],
)
def test_a_manifest_means(role, content, expected):
    assert stated(role, content) == expected


@pytest.mark.parametrize(
    "pointer",
    ["SEE LICENSE IN LICENSE.md", "LICENSE.txt", "LICENSE", "file: LICENSE", "see the COPYING file",
     "License", "COPYING"],
)  # fmt: skip
def test_a_pointer_names_no_license(pointer):
    assert points_elsewhere(pointer)


@pytest.mark.parametrize(
    "name",
    ["MIT", "Other/Proprietary License", "Dual GPL", "See: MIT License", "Unlicense", "Custom",
     "License: GPLv3", "unknown to us", "Apache License", "File GPL-2.0.txt is the GPLv2"],
)  # fmt: skip
def test_a_name_is_no_pointer(name):
    assert not points_elsewhere(name)


def test_a_gnu_license_without_or_later_is_the_version_named():
    assert gnu_licenses("GPL-2.0 and LGPL v2.1+") == ["GPL-2.0-only", "LGPL-2.1-or-later"]
    assert gnu_licenses("version 2 of the license; GPLv3") == ["GPL-3.0-only"]
    assert gnu_licenses("this license is GPL-compatible") == []
    assert gnu_licenses("the GNU Affero General Public License") == ["AGPL-3.0-or-later"]


GNU = [
    f"{family}-{version}-{scope}"
    for family, versions in (("GPL", "123"), ("LGPL", "23"), ("AGPL", "3"))
    for version in (f"{number}.0" for number in versions)
    for scope in ("only", "or-later")
]


@pytest.mark.parametrize("name", GNU)
@pytest.mark.parametrize(
    "form", ["{}", "{} license", "License: {}", "licensed under {}", "MIT, {}"]
)
def test_a_copyleft_name_is_never_permissive_however_it_is_written(name, form):
    assert category(named(form.format(name))) != "permissive"
    assert category(stated("text", form.format(name))) != "permissive"
    assert (
        category(stated("text", texts.MIT + f"\nx.c is licensed under {name}.\n")) != "permissive"
    )


def test_the_score_of_an_id_is_one_and_of_a_family_less_than_of_a_name():
    def score(line):
        return detect("metadata", extract("metadata", line)[1]).score

    assert score("License-Expression: MIT") == 1
    assert 1 > score("License: MIT") > score("License: BSD") > 0
    assert detect("text", texts.PROPRIETARY).score == 0


def test_a_version_names_the_detector_and_its_data():
    assert detector_version().count(";") == 2
    assert "licenseclassifier" in detector_version()


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="MITGPLandorAND2.0 ,/()&+-v\n", max_size=60) | st.text(max_size=60))
def test_a_strangers_text_is_never_refused(text):
    assert category(named(text)) in CATEGORIES
    found = detect("text", text).expression
    assert found is None or category(found) in CATEGORIES
