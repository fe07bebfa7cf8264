"""What does a license ask of those who use the file?    SPDX expression -> category

The category of an id comes from ScanCode's LicenseDB (in the package license-expression) and the
Blue Oak Council's list. OR is the best of its parts, AND the worst; a known exception to a copyleft
license makes it weak. An id that nobody rates is `other`: what is not known is not permission.
"""

from __future__ import annotations

import csv
import functools
import json
import re
from importlib import resources
from typing import Any, Literal

from license_expression import ExpressionError, get_spdx_licensing

CATEGORIES = ("permissive", "weak_copyleft", "strong_copyleft", "other")  # the best first
NONE = "none"

PROPRIETARY = "LicenseRef-proprietary"
UNKNOWN = "LicenseRef-unknown"

Rating = Literal["scancode", "blueoak", "either", "both"]

_OF_SCANCODE = {
    "Permissive": "permissive",
    "Public Domain": "permissive",
    "Copyleft Limited": "weak_copyleft",
    "Copyleft": "strong_copyleft",
}
# What LicenseDB files under a milder heading. Source: the licenses' own terms.
_STRONGER = {
    "AGPL-3.0-only": "strong_copyleft",
    "AGPL-3.0-or-later": "strong_copyleft",
    "SSPL-1.0": "other",
    "JSON": "other",
    "CECILL-1.1": "strong_copyleft",
    "CECILL-2.0": "strong_copyleft",
    "CECILL-2.1": "strong_copyleft",
    "RPL-1.1": "strong_copyleft",
    "RPL-1.5": "strong_copyleft",
    "OFL-1.0": "weak_copyleft",
    "OFL-1.0-RFN": "weak_copyleft",
    "OFL-1.0-no-RFN": "weak_copyleft",
}


# What license-expression raises for a string that is none: "()" is an IndexError there.
_REFUSED = (ExpressionError, ValueError, AttributeError, LookupError, TypeError, RecursionError)

_FORMER = {  # former ids that hold an exception; the library leaves them as they are
    "GPL-2.0-with-autoconf-exception": "GPL-2.0-only WITH Autoconf-exception-2.0",
    "GPL-2.0-with-bison-exception": "GPL-2.0-only WITH Bison-exception-2.2",
    "GPL-2.0-with-classpath-exception": "GPL-2.0-only WITH Classpath-exception-2.0",
    "GPL-2.0-with-font-exception": "GPL-2.0-only WITH Font-exception-2.0",
    "GPL-2.0-with-GCC-exception": "GPL-2.0-only WITH GCC-exception-2.0",
    "GPL-3.0-with-autoconf-exception": "GPL-3.0-only WITH Autoconf-exception-3.0",
    "GPL-3.0-with-GCC-exception": "GPL-3.0-only WITH GCC-exception-3.1",
}


@functools.lru_cache(maxsize=1)
def _licensing() -> Any:
    return get_spdx_licensing()


@functools.lru_cache(maxsize=1)
def scancode_categories() -> dict[str, str]:
    """SPDX id (and former ids) in lower case -> category."""
    text = resources.files("license_expression").joinpath("data/scancode-licensedb-index.json")
    found: dict[str, str] = {}
    for entry in json.loads(text.read_text("utf-8")):
        category = _OF_SCANCODE.get(entry.get("category"), "other")
        for key in (entry.get("spdx_license_key"), *(entry.get("other_spdx_license_keys") or [])):
            if key:
                # Of two entries for one id the stricter counts.
                worse = max(category, found.get(key.lower(), category), key=CATEGORIES.index)
                found[key.lower()] = worse
    found.update({key.lower(): category for key, category in _STRONGER.items()})
    return found


@functools.lru_cache(maxsize=1)
def blueoak_ids() -> frozenset[str]:
    """SPDX ids in lower case that the Blue Oak Council rates, whatever the rating."""
    text = resources.files("etl").joinpath("data/license_blueoak.csv").read_text("utf-8")
    return frozenset(row["spdx_id"].lower() for row in csv.DictReader(text.splitlines()))


@functools.lru_cache(maxsize=65_536)
def category(expression: str | None, rating: Rating = "either") -> str:
    """permissive, weak_copyleft, strong_copyleft, other; `none` for no expression at all."""
    if not expression:
        return NONE
    try:
        parsed = _licensing().parse(expression)
    except _REFUSED:
        return "other"
    return CATEGORIES[_rank(parsed, rating)] if parsed is not None else NONE


def _rank(node: Any, rating: Rating) -> int:
    kind = type(node).__name__
    if kind == "OR":
        return min(_rank(part, rating) for part in node.args)
    if kind == "AND":
        return max(_rank(part, rating) for part in node.args)
    if kind == "LicenseWithExceptionSymbol":
        base = _of_id(node.license_symbol.key, rating)
        exception = scancode_categories().get(node.exception_symbol.key.lower(), "other")
        if base == "strong_copyleft" and exception in ("permissive", "weak_copyleft"):
            base = "weak_copyleft"
        return CATEGORIES.index(base)
    if getattr(node, "is_exception", False):  # an exception alone grants nothing
        return CATEGORIES.index("other")
    return CATEGORIES.index(_of_id(node.key, rating))


def _of_id(key: str, rating: Rating) -> str:
    of_scancode = scancode_categories().get(key.lower(), "other")
    in_blueoak = key.lower() in blueoak_ids()
    permissive = {
        "scancode": of_scancode == "permissive",
        "blueoak": in_blueoak,
        # A copyleft that ScanCode sees is never outvoted.
        "either": of_scancode == "permissive" or (in_blueoak and of_scancode == "other"),
        "both": of_scancode == "permissive" and in_blueoak,
    }[rating]
    if permissive:
        return "permissive"
    return "other" if of_scancode == "permissive" else of_scancode


def badness(expression: str) -> int:
    """The place of an expression's category in CATEGORIES: 0 is permissive."""
    return CATEGORIES.index(category(expression))


def spdx_expression(text: str) -> str | None:
    """The expression in SPDX's current ids, or None if `text` is not one of known ids."""
    licensing = _licensing()
    try:
        parsed = licensing.parse(text, validate=True)
    except _REFUSED:
        return None
    if parsed is None:
        return None
    rendered = str(parsed.render())
    for former, present in _FORMER.items():
        rendered = re.sub(rf"\b{re.escape(former)}(?![\w.-])", present, rendered)
    return rendered


def all_of(expressions: list[str]) -> str:
    """The AND of expressions: each part once, sorted. A term with OR keeps its brackets."""
    return _joined("AND", expressions)


def any_of(expressions: list[str]) -> str:
    """The OR of expressions: each part once, sorted."""
    return _joined("OR", expressions)


def parts_of(expression: str, operator: str = "AND") -> list[str]:
    """The parts that `operator` joins at the top of an expression; itself where none does."""
    parsed = _licensing().parse(expression)
    nodes = parsed.args if type(parsed).__name__ == operator else [parsed]
    return [str(node.render()) for node in nodes]


def ids_of(expression: str) -> frozenset[str]:
    """The license ids of an expression, without exceptions."""
    return frozenset(
        word
        for phrase in re.split(r"[()]|\b(?:AND|OR)\b", expression)
        for word in phrase.partition(" WITH ")[0].split()
    )


def _joined(operator: str, expressions: list[str]) -> str:
    parts = {part for expression in expressions for part in parts_of(expression, operator)}
    if len(parts) == 1:
        return parts.pop()
    return f" {operator} ".join(sorted(f"({p})" if _is_compound(p) else p for p in parts))


def _is_compound(expression: str) -> bool:
    return " AND " in expression or " OR " in expression
