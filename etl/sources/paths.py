"""What does a path say of a file?    path -> vendored, test, documentation

go-enry's rules, and our own where it misses: it knows no `site-packages`, for one.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

VENDOR_FOLDERS = frozenset(
    {
        "site-packages", "dist-packages", "node_modules", "bower_components", "jspm_packages",
        "third_party", "third-party", "thirdparty", "3rdparty", "3rd_party", "3rd-party",
        "vendor", "vendors", "vendored", "_vendor", "_vendored", "_vendored_packages",
        "external", "externals", "extern", "contrib_libs", "pods", "carthage", ".venv",
        "virtualenv", "__pypackages__", ".cargo", ".gradle", ".bundle",
    }
)  # fmt: skip
TEST_FOLDERS = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__", "testdata"})


class PathFlags(NamedTuple):
    is_vendored: bool
    is_test: bool
    is_documentation: bool


def path_flags(path: str) -> PathFlags:
    """A folder named so makes its files vendored; a file of that name does not."""
    folder, _, _ = path.rpartition("/")
    in_vendor, in_tests = _folder_flags(folder)
    import enry  # a Go runtime does not survive a fork: only where it is used

    return PathFlags(
        in_vendor or bool(enry.is_vendor(path)),
        in_tests or _is_test_name(path.rpartition("/")[2]),
        bool(enry.is_documentation(path)),
    )


@functools.lru_cache(maxsize=65_536)
def _folder_flags(folder: str) -> tuple[bool, bool]:
    parts = folder.lower().split("/")
    in_environment = any(
        part == "lib" and index and parts[index - 1] in ("venv", "env")
        for index, part in enumerate(parts)
    )
    return (
        in_environment or not VENDOR_FOLDERS.isdisjoint(parts),
        not TEST_FOLDERS.isdisjoint(parts),
    )


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
