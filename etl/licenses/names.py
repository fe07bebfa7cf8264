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
    rf"|{_SHORT}{_VERSION}(?:\.(?:txt|md|rst|html?|text))?)$",  # MIT.txt, Apache2.0, GPL-3.0.txt
    re.IGNORECASE,
)
_NO_TERMS = re.compile(  # what they hold are the licenses of others, or people
    r"third[-_ ]?part|3rd[-_ ]?part|notice|credits|acknowledg|^authors|^contributors|^readme"
    r"|^changes|^changelog|^maintainers|^code_of_conduct|^contributing|^security|\.about$",
    re.IGNORECASE,
)
_CODE_EXTENSIONS = """
    py pyi pyx pxd ipynb js ts tsx jsx mjs cjs java go rs c h cc cpp cxx hpp hh cs rb php sh bash
    bat cmd ps1 json yml yaml xml toml cfg ini conf svg png gif jpg ico pdf css scss less vue kt
    scala swift lua pl pm t el clj ex exs erl hs ml tmpl erb template tpl jinja j2 in map lock
    properties csv tsv sql proto po mo pot woff woff2 ttf spec cmake gradle ejs hbs snap plist
    diff patch log db sqlite bin exe dll so
"""
_CODE = frozenset(_CODE_EXTENSIONS.split())

# Folders whose files speak for the folder that holds them.
_SPEAKS_FOR_PARENT = re.compile(
    r"(?:^|/)(?:[^/]+\.(?:dist|egg)-info|EGG-INFO|META-INF|LICENSES|LICENCES|LEGAL|\.github"
    r"|licen[cs]es?|legal)(?:/.*)?$"
)
# A manifest in a folder of another name, such as packages/license/package.json, speaks for itself.
_MANIFEST_SPEAKS_FOR_PARENT = re.compile(
    r"(?:^|/)(?:[^/]+\.(?:dist|egg)-info|EGG-INFO|META-INF)(?:/.*)?$"
)
_LICENSE_FOLDER = re.compile(
    r"(?:^|/)(?:LICENSES|LICENCES|LEGAL|[^/]+\.dist-info/licen[cs]es(?:/.*)?)$"
)


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
    if _NO_TERMS.search(name):
        return None
    if _NAME.match(name) or _LICENSE_FOLDER.search(folder):
        return TEXT
    return None


def governed_directory(path: str) -> str:
    """The folder whose files a license file or manifest governs; "" for the root."""
    folder = path.rpartition("/")[0]
    is_manifest = license_role(path) != TEXT
    return (_MANIFEST_SPEAKS_FOR_PARENT if is_manifest else _SPEAKS_FOR_PARENT).sub("", folder)
