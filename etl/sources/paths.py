"""What does a path say of a file?    path -> vendored, test, documentation

go-enry's rules, and our own where it misses: it knows no `site-packages`, for one. Its rules are expressions
(`etl/data/path_rules.tsv`), matched all at once: in 6 us a path, where Go takes 87.
"""

from __future__ import annotations

import csv
import functools
import importlib.resources
import itertools
import re
from typing import Any, NamedTuple

from etl.patterns import SINGLEMATCH, compile_all

VENDOR_FOLDERS = frozenset(  # in any case
    {
        "site-packages", "dist-packages", "node_modules", "bower_components", "jspm_packages",
        "third_party", "third-party", "thirdparty", "3rdparty", "3rd_party", "3rd-party",
        "vendor", "vendors", "vendored", "_vendor", "_vendored", "_vendored_packages",
        "external", "externals", "extern", "contrib_libs", ".venv", "virtualenv",
        "__pypackages__", "godeps",
    }
)  # fmt: skip
CASED_FOLDERS = frozenset({"Pods", "Carthage"})  # in lower case these are words of other fields
ENVIRONMENTS = frozenset({"venv", "env", ".env", "virtualenv"})  # of Python, where lib lies in them
_CRATE = re.compile(r"[a-z0-9_-]+-\d+\.\d+\.\d+[a-z0-9.+-]*")  # in a folder of `cargo vendor`
TEST_FOLDERS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__", "testdata"})


class PathFlags(NamedTuple):
    is_vendored: bool
    is_test: bool
    is_documentation: bool


FILE_URI = ("^file:/+", "file:/")  # pattern and replacement: Spark writes one slash, or three


def path_flags(path: str) -> PathFlags:
    """A folder named so makes its files vendored; a file of that name does not."""
    folder, _, _ = path.rpartition("/")
    in_vendor, in_tests = _folder_flags(folder)
    told = linguist_flags(path)
    return PathFlags(
        in_vendor or told.is_vendored,
        in_tests or _is_test_name(path.rpartition("/")[2]) or told.is_test,
        told.is_documentation,
    )


def linguist_flags(path: str) -> PathFlags:
    """As go-enry answers."""
    found = [False] * len(PathFlags._fields)

    def note(number: int, start: int, end: int, flags: int, context: object) -> None:
        found[number] = True

    raw = path.encode()
    if raw:
        _rules().scan(raw, match_event_handler=note)
    return PathFlags(*found)


@functools.cache
def _rules() -> Any:
    """Compiled, once a process; the number of a match is that of a field of PathFlags."""
    table = importlib.resources.files("etl.data").joinpath("path_rules.tsv")
    lines = table.read_text("ascii").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return compile_all(
        # In Go `$` is the end of the text alone, not a newline before it as well
        [re.sub(r"\$(?=[)|]|\Z)", r"\\z", row["expression"]).encode() for row in rows],
        [PathFlags._fields.index(f"is_{row['flag']}") for row in rows],
        [SINGLEMATCH] * len(rows),
    )


@functools.lru_cache(maxsize=65_536)
def _folder_flags(folder: str) -> tuple[bool, bool]:
    cased = folder.split("/")
    parts = [part.lower() for part in cased]
    in_environment = any(
        before in ENVIRONMENTS and part in ("lib", "lib64")
        for before, part in itertools.pairwise(parts)
    )
    has_crate = any(
        before == "cargo" and _CRATE.fullmatch(part) for before, part in itertools.pairwise(parts)
    )
    is_named = not (VENDOR_FOLDERS.isdisjoint(parts) and CASED_FOLDERS.isdisjoint(cased))
    return in_environment or has_crate or is_named, not TEST_FOLDERS.isdisjoint(parts)


def _is_test_name(basename: str) -> bool:
    stem = basename.lower().partition(".")[0]
    rest = basename.lower()[len(stem) :]
    return (
        stem.startswith("test_")
        or stem.endswith(("_test", "_tests", "_spec"))
        or rest.startswith((".test.", ".spec."))
        or basename.endswith(("Test.java", "Tests.cs", "Test.kt", "Test.php"))
    )


def basename_extension(path: str) -> tuple[str, str]:
    """The last part, and its extension in lower case without the dot (`.bashrc` has none)."""
    basename = path.rpartition("/")[2]
    stem, dot, extension = basename.rpartition(".")
    return basename, extension.lower() if dot and stem else ""
