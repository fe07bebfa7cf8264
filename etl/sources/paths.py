"""What does a path say of a file?    path -> vendored, test, documentation

go-enry's rules, and our own where it misses: it knows no `site-packages`, for one.
"""

from __future__ import annotations

import functools
import itertools
import re
from typing import NamedTuple

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
    import enry  # a Go runtime does not survive a fork: only where it is used

    return PathFlags(
        in_vendor or bool(enry.is_vendor(path)),
        in_tests or _is_test_name(path.rpartition("/")[2]) or bool(enry.is_test(path)),
        bool(enry.is_documentation(path)),
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
