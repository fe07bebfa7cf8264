"""What licenses ask for, by hand; the law that copyleft is never taken for permissive."""

from __future__ import annotations

import gzip
import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.licenses.categories import (
    CATEGORIES,
    NONE,
    all_of,
    any_of,
    category,
    ids_of,
    parts_of,
    spdx_expression,
)
from etl.licenses.detect import current_id

RATINGS = ("scancode", "blueoak", "either", "both")

BY_HAND = {  # what the license's own terms ask; weak: of the file or library only
    "permissive": """MIT MIT-0 Apache-2.0 BSD-2-Clause BSD-3-Clause 0BSD ISC Zlib BSL-1.0 Unlicense
        CC0-1.0 CC-BY-4.0 Python-2.0 PSF-2.0 HPND NCSA PostgreSQL WTFPL X11 curl""",
    "weak_copyleft": """LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0-only MPL-1.1 MPL-2.0 EPL-1.0
        EPL-2.0 CDDL-1.0 OFL-1.1 CC-BY-SA-4.0 MS-RL""",
    "strong_copyleft": """GPL-1.0-only GPL-2.0-only GPL-2.0-or-later GPL-3.0-only GPL-3.0-or-later
        AGPL-1.0-only AGPL-3.0-only AGPL-3.0-or-later OSL-3.0 Sleepycat CECILL-2.1 RPL-1.5
        CPAL-1.0""",
    "other": """SSPL-1.0 BUSL-1.1 Elastic-2.0 JSON CC-BY-NC-4.0 CC-BY-NC-SA-4.0 CC-BY-ND-4.0
        PolyForm-Noncommercial-1.0.0 Hippocratic-2.1 LicenseRef-unknown LicenseRef-proprietary""",
}
ONE_EACH = [(name, kind) for kind, names in BY_HAND.items() for name in names.split()]

NEVER_PERMISSIVE = """
GPL-2.0
GPL-2.0+
gpl-3.0
GPL-2.0-only AND MIT
MIT AND GPL-2.0-only
MIT AND (Apache-2.0 OR BSD-3-Clause) AND GPL-3.0-only
(GPL-2.0-only OR GPL-3.0-only)
GPL-2.0-only OR LGPL-2.1-only
(MIT AND GPL-2.0-only) OR (MIT AND LGPL-2.1-only)
(MIT OR GPL-2.0-only) AND (GPL-2.0-only OR LGPL-2.1-only)
MIT AND LGPL-2.1-or-later
LGPL-2.0
LGPL-3.0-only AND Apache-2.0
GPL-2.0-only WITH Classpath-exception-2.0
GPL-2.0-or-later WITH Autoconf-exception-2.0
GPL-3.0-or-later WITH GCC-exception-3.1
GPL-2.0-with-classpath-exception
GPL-2.0-only WITH LLVM-exception
GPL-2.0-only WITH Unheard-of-exception
AGPL-3.0
AGPL-3.0-only OR GPL-3.0-only
AGPL-3.0-or-later WITH Classpath-exception-2.0
MPL-2.0 AND MIT
MPL-2.0-no-copyleft-exception
EPL-2.0 OR GPL-2.0-only WITH Classpath-exception-2.0
CDDL-1.0 AND Apache-2.0
EUPL-1.2
OSL-3.0
Sleepycat
CC-BY-SA-4.0
CC-BY-NC-4.0
GFDL-1.3-or-later
SSPL-1.0
SSPL-1.0 OR Elastic-2.0
BUSL-1.1 AND Apache-2.0
JSON
LicenseRef-unknown
LicenseRef-unknown AND MIT
MIT AND
MIT GPL-2.0-only
MIT/GPL-2.0
(MIT
LLVM-exception
Classpath-exception-2.0
NOASSERTION
""".strip().splitlines()

IDS = st.sampled_from([name for name, _ in ONE_EACH])


def _worse(one: str, other: str) -> str:
    return max(one, other, key=CATEGORIES.index)


@pytest.mark.parametrize(("name", "expected"), ONE_EACH)
def test_a_license_has_the_category_of_its_terms(name, expected):
    assert category(name) == expected


@pytest.mark.parametrize("rating", RATINGS)
@pytest.mark.parametrize("expression", NEVER_PERMISSIVE)
def test_copyleft_and_the_unknown_are_never_permissive(expression, rating):
    assert category(expression, rating) not in ("permissive", NONE)


@pytest.mark.parametrize("rating", RATINGS)
@pytest.mark.parametrize("name", ["SSPL-1.0", "CC-BY-NC-4.0", "JSON", "BUSL-1.1", "Elastic-2.0"])
def test_a_restricted_use_is_other_whoever_rates(name, rating):
    assert category(name, rating) == "other"


def test_of_alternatives_the_best_counts_and_of_a_sum_the_worst():
    assert category("MIT OR GPL-3.0-only") == "permissive"
    assert category("LGPL-2.1-only OR GPL-3.0-only") == "weak_copyleft"
    assert category("MIT AND GPL-3.0-only") == "strong_copyleft"
    assert category("MIT AND (GPL-3.0-only OR MPL-2.0)") == "weak_copyleft"
    assert category("(MIT AND SSPL-1.0) OR GPL-2.0-only") == "strong_copyleft"
    assert category("MIT OR Apache-2.0 AND SSPL-1.0") == "permissive"  # AND binds first
    assert category("(MIT OR Apache-2.0) AND SSPL-1.0") == "other"


def test_a_known_exception_makes_a_strong_copyleft_weak_and_nothing_else():
    assert category("GPL-2.0-only WITH Classpath-exception-2.0") == "weak_copyleft"
    assert category("GPL-2.0-only WITH Unheard-of-exception") == "strong_copyleft"
    assert category("LGPL-3.0-only WITH LGPL-3.0-linking-exception") == "weak_copyleft"
    assert category("Apache-2.0 WITH LLVM-exception") == "permissive"
    assert category("SSPL-1.0 WITH Classpath-exception-2.0") == "other"


def test_no_expression_is_none():
    assert category(None) == category("") == NONE


def test_stricter_ratings_never_make_more_permissive():
    for name, _ in ONE_EACH:
        if category(name, "both") == "permissive":
            assert category(name, "scancode") == category(name, "blueoak") == "permissive"
        if category(name, "scancode") == "permissive":
            assert category(name, "either") == "permissive"


def test_every_license_of_the_detector_has_a_category_and_copyleft_by_name_is_none_permissive():
    data = resources.files("licenseclassifier").joinpath("_engine/licenses.json.gz").read_bytes()
    names = {entry["id"] for entry in json.loads(gzip.decompress(data))}
    assert len(names) > 600
    wrong = []
    for name in names:
        found = category(current_id(name))
        assert found in CATEGORIES
        parts = set(name.upper().replace(".", "-").split("-"))
        is_copyleft = parts & {"GPL", "LGPL", "AGPL", "GFDL", "SA", "OSL", "EUPL", "CDDL", "OFL"}
        is_family = name.startswith(("MPL-", "EPL-", "CECILL-1", "CECILL-2", "CECILL-C"))
        is_restricted = parts & {"NC", "ND"} or "Noncommercial" in name
        if (is_copyleft or is_family or is_restricted) and found == "permissive":
            wrong.append(name)
    assert wrong == ["CNRI-Python-GPL-Compatible"]


@given(IDS, IDS, st.sampled_from(RATINGS))
def test_a_sum_is_as_strict_as_its_strictest_part(one, other, rating):
    expected = _worse(category(one, rating), category(other, rating))
    assert category(all_of([one, other]), rating) == expected


@given(st.text(alphabet="MITGPL-203.+ ()ANDORWHonly", max_size=40))
def test_no_expression_makes_a_reader_fail(text):
    assert category(text) in (*CATEGORIES, NONE)
    spdx_expression(text)


def test_thousands_of_brackets_are_no_expression():
    assert category("(" * 5000) == "other"
    assert spdx_expression("(" * 5000 + "MIT" + ")" * 5000) in (None, "MIT")


# --- joining


def test_joining_keeps_each_part_once_sorted_with_the_brackets_it_needs():
    assert all_of(["MIT", "Apache-2.0", "MIT"]) == "Apache-2.0 AND MIT"
    assert all_of(["MIT OR ISC", "0BSD"]) == "(MIT OR ISC) AND 0BSD"
    assert any_of(["MIT AND ISC", "0BSD"]) == "(MIT AND ISC) OR 0BSD"
    assert any_of(["MIT OR ISC", "0BSD"]) == "0BSD OR ISC OR MIT"
    two_choices = "(MIT OR ISC) AND (Zlib OR 0BSD)"
    assert all_of([two_choices]) == any_of([two_choices]) == two_choices
    assert all_of([two_choices, "X11"]) == "(MIT OR ISC) AND (Zlib OR 0BSD) AND X11"
    assert any_of([two_choices, "X11"]) == "((MIT OR ISC) AND (Zlib OR 0BSD)) OR X11"
    exception = "GPL-2.0-only WITH Classpath-exception-2.0"
    assert all_of([exception, "MIT"]) == f"{exception} AND MIT"


@given(st.lists(IDS, min_size=1, max_size=5))
def test_the_order_of_parts_is_nothing(names):
    assert all_of(names) == all_of(names[::-1])
    assert any_of(names) == any_of(names[::-1])
    assert ids_of(all_of(names)) == set(names)
    assert parts_of(all_of(names)) == sorted(set(names))


def test_former_ids_become_the_present_ones():
    assert spdx_expression("GPL-2.0") == "GPL-2.0-only"
    assert spdx_expression("gpl-3.0+ or mit") == "GPL-3.0-or-later OR MIT"
    expected = "GPL-2.0-only WITH Classpath-exception-2.0"
    assert spdx_expression("GPL-2.0-with-classpath-exception") == expected
    assert spdx_expression("no license at all") is None
    assert spdx_expression("") is None
