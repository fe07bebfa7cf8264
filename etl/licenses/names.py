"""Which files state a license, and for which folder?    path -> role; path -> governed folder

Better than one expression over any base name (The Stack v2's misses `Apache2.0`, `MPL2` and
manifests and takes `license_header.py` for a license): a file of code is none, whatever its name.
"""

from __future__ import annotations

import re

TEXT = "text"

MANIFESTS = {
    "pyproject.toml": "pyproject",
    "setup.cfg": "setup_cfg",
    "package.json": "package_json",
    "Cargo.toml": "cargo",
    "pom.xml": "pom",
    "METADATA": "metadata",
    "PKG-INFO": "metadata",
}

_WORD = r"(?:un)?licen[cs](?:e|es|ing)?|copying|copyleft|copyright|eula"
_SHORT = (
    r"(?:[al]?gpl|mit|bsd|apache|mpl|epl|cddl|eupl|isc|zlib|ofl|artistic|boost|bsl|wtfpl|cc0|cc-by"
    r"(?:-sa|-nc|-nd)*|psf|unlicense|gfdl|cecill)"
)
_VERSION = r"[-_ ]?v?\d*(?:\.\d+)*\+?(?:[-_ ](?:only|or[-_]later|clause|new|simplified))*"
_NAME = re.compile(
    rf"^(?:(?:{_WORD})(?:v?\d[\d.]*)?(?:[-_. ].*)?"  # LICENSE, COPYING3, LICENSE-MIT
    rf"|.*[-_. ](?:{_WORD})(?:\.\w+)?"  # MIT-LICENSE.txt, numpy_license
    rf"|(?:mit|bsd|apache|gpl)(?:{_WORD})(?:\.\w+)?|al-?2(?:\.0)?(?:\.txt)?"  # MITLicense.txt
    rf"|{_SHORT}{_VERSION}(?:\.(?:txt|md|rst|html?|text))?)$",  # MIT.txt, Apache2.0, GPL-3.0.txt
    re.IGNORECASE,
)
_NO_TERMS = re.compile(  # what they hold are the licenses of others, or people
    r"third[-_ ]?part|3rd[-_ ]?part|notice|credits|acknowledg|^authors|^contributors|^readme"
    r"|^changes|^changelog|^maintainers|^code_of_conduct|^contributing|^security|\.about$"
    # The form of a notice: nothing is given under it.
    r"|(?:licen[cs]e|copyright)[-_. ]?(?:header|template)(?![a-z])",
    re.IGNORECASE,
)
_OF_ONE_FILE = re.compile(  # main.js.LICENSE.txt, logo.png.license
    r"\.(\w+)\.(?:licen[cs]es?|copyright)(?:\.(?:txt|md))?$", re.IGNORECASE
)
_CODE_EXTENSIONS = """
    py pyi pyx pxd ipynb js ts tsx jsx mjs cjs java go rs c h cc cpp cxx hpp hh cs rb php sh bash
    bat cmd ps1 json yml yaml xml toml cfg ini conf svg png gif jpg ico pdf css scss less vue kt
    scala swift lua pl pm t el clj ex exs erl hs ml tmpl erb template tpl jinja j2 in map lock
    properties csv tsv sql proto po mo pot woff woff2 ttf spec cmake gradle ejs hbs snap plist
    diff patch log db sqlite bin exe dll so
"""
_CODE = frozenset(_CODE_EXTENSIONS.split())
_FILE_EXTENSIONS = f"{_CODE_EXTENSIONS} md rst txt html htm jpeg webp mp3 mp4 wav ogg doc docx odt"
_FILES = frozenset(_FILE_EXTENSIONS.split())

# Folders whose files speak for the folder that holds them. In lower case they are folders of code
# or hold the licenses of bundled parts: those speak for themselves alone.
_SPEAKS_FOR_PARENT = re.compile(
    r"(?:^|/)(?:\.github|(?:[^/]+\.(?:dist|egg)-info|EGG-INFO|META-INF|LICENSES|LICENCES|LEGAL)"
    r"(?:/.*)?)$"
)
# A manifest in a folder of another name, such as packages/license/package.json, speaks for itself.
_MANIFEST_SPEAKS_FOR_PARENT = re.compile(
    r"(?:^|/)(?:[^/]+\.(?:dist|egg)-info|EGG-INFO|META-INF)(?:/.*)?$"
)
_LICENSE_FOLDER = re.compile(
    r"(?:^|/)(?:LICENSES|LICENCES|LEGAL|[^/]+\.dist-info/licen[cs]es(?:/.*)?)$"
)
# Below it a wheel keeps the folders of its source tree. Source: PEP 639.
_MIRROR = re.compile(r"(?:^|/)[^/]+\.dist-info/licen[cs]es/(?:src(?:/|$))?")


def license_role(path: str) -> str | None:
    """ "text" for a license file, the kind of a manifest, or None: by the path alone."""
    folder, _, name = path.rpartition("/")
    manifest = MANIFESTS.get(name)
    if manifest is not None:
        return manifest
    stem, dot, extension = name.rpartition(".")
    if dot and extension.lower() == "gemspec":
        return "gemspec"
    if dot and stem and extension.lower() in _CODE:
        return None
    one_file = _OF_ONE_FILE.search(name)
    if _NO_TERMS.search(name) or (one_file and one_file[1].lower() in _FILES):
        return None
    if _NAME.match(name) or _LICENSE_FOLDER.search(folder):
        return TEXT
    return None


def governed_directory(path: str) -> str:
    """The folder whose files a license file or manifest governs; "" for the root.

    A license below `x.dist-info/licenses/` governs the folder at its path in the source tree.
    """
    folder = path.rpartition("/")[0]
    mirror = _MIRROR.search(folder)
    if mirror:
        outer, inner = folder[: mirror.start()], folder[mirror.end() :]
        folder = "/".join(part for part in (outer, inner) if part)
    is_manifest = license_role(path) != TEXT
    return (_MANIFEST_SPEAKS_FOR_PARENT if is_manifest else _SPEAKS_FOR_PARENT).sub("", folder)
