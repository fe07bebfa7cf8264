"""Which paths state a license, and for which folder: decided by eye, one line a path."""

from __future__ import annotations

import pytest

from etl.licenses.names import governed_directory, license_role

STATES = [  # path, role, folder that it governs
    ("LICENSE", "text", ""),
    ("LICENCE", "text", ""),
    ("License.txt", "text", ""),
    ("license.md", "text", ""),
    ("LICENSE.rst", "text", ""),
    ("LICENSE-MIT", "text", ""),
    ("LICENSE-APACHE", "text", ""),
    ("LICENSE.APACHE2", "text", ""),
    ("LICENSE_1_0.txt", "text", ""),
    ("MIT-LICENSE.txt", "text", ""),
    ("mit_license", "text", ""),
    ("UNLICENSE", "text", ""),
    ("COPYING", "text", ""),
    ("COPYING3", "text", ""),
    ("COPYING.LESSER", "text", ""),
    ("COPYING.LIB", "text", ""),
    ("COPYRIGHT", "text", ""),
    ("Copyright.txt", "text", ""),
    ("EULA.txt", "text", ""),
    ("Apache2.0", "text", ""),
    ("MPL2", "text", ""),
    ("MPL-2.0.txt", "text", ""),
    ("GPL-3.0-or-later.txt", "text", ""),
    ("gpl-2.0.txt", "text", ""),
    ("BSD-3-clause", "text", ""),
    ("src/lib/LICENSE", "text", "src/lib"),
    ("vendor/a/b/COPYING", "text", "vendor/a/b"),
    ("LICENSES/MIT.txt", "text", ""),
    ("LICENSES/LicenseRef-Ours.txt", "text", ""),
    ("sub/LICENSES/Apache-2.0.txt", "text", "sub"),
    ("licenses/LICENSE.zlib", "text", "licenses"),  # of a bundled part
    ("licenses/qhull/LICENSE", "text", "licenses/qhull"),
    ("src/legal/LICENSE", "text", "src/legal"),
    ("pkg/license/LICENSE", "text", "pkg/license"),
    ("LEGAL/LICENSE", "text", ""),
    ("LICENSES/of-parts/MIT.txt", "text", ""),
    ("MITLicense.txt", "text", ""),
    ("AL2.0", "text", ""),
    ("LICENSE-templates", "text", ""),
    ("vendor/x/apache-2.0.LICENSE", "text", "vendor/x"),
    (".github/LICENSE", "text", ""),
    (".github/actions/a/LICENSE", "text", ".github/actions/a"),
    ("META-INF/LICENSE", "text", ""),
    ("a-1.0.dist-info/LICENSE", "text", ""),
    ("a-1.0.dist-info/licenses/LICENSE", "text", ""),
    # PEP 639: below licenses/ are the folders of the source tree.
    ("a-1.0.dist-info/licenses/src/LICENSE", "text", ""),
    ("a-1.0.dist-info/licenses/LICENSES/MIT.txt", "text", ""),
    ("a-1.0.dist-info/licenses/vendor/b/LICENSE", "text", "vendor/b"),
    ("pip-1.dist-info/licenses/src/pip/_vendor/certifi/LICENSE", "text", "pip/_vendor/certifi"),
    ("lib/a-1.0.dist-info/licenses/srcs/b/LICENSE", "text", "lib/srcs/b"),
    ("a-1.0.dist-info/licenses/licenses/zlib.txt", "text", "licenses"),
    ("lib/a-1.0.dist-info/licenses/libb.terms", "text", "lib"),
    ("pyproject.toml", "pyproject", ""),
    ("packages/a/package.json", "package_json", "packages/a"),
    ("packages/license/package.json", "package_json", "packages/license"),
    ("crates/a/Cargo.toml", "cargo", "crates/a"),
    ("setup.cfg", "setup_cfg", ""),
    ("pom.xml", "pom", ""),
    ("META-INF/maven/org.a/b/pom.xml", "pom", ""),
    ("a.gemspec", "gemspec", ""),
    ("a-1.0.dist-info/METADATA", "metadata", ""),
    ("lib/a.egg-info/PKG-INFO", "metadata", "lib"),
    ("a.egg/EGG-INFO/PKG-INFO", "metadata", "a.egg"),
    ("PKG-INFO", "metadata", ""),
]
STATES_NOTHING = [
    "README.md",
    "README-LICENSE.md",
    "src/license_header.py",
    "src/license.js",
    "LicenseManager.java",
    "license.json",
    "LICENSE.png",
    "main.js.LICENSE.txt",
    "static/chunk.css.LICENSE",
    "logo.png.license",
    "README.md.license",
    "license_header.txt",
    "LICENSE-HEADER",
    "copyright-template.txt",
    "al.txt",
    "al2020.txt",
    "license.tmpl",
    "copyright.tsx",
    "licensed_products",
    "mitigation.txt",
    "apachectl",
    "THIRD_PARTY_LICENSES.txt",
    "LICENSE-3RD-PARTY",
    "NOTICE",
    "AUTHORS",
    "CONTRIBUTORS",
    "CHANGELOG.md",
    "Makefile",
    "a.txt",
    "MIT/notes.txt",
    "package-lock.json",
    "Cargo.lock",
    "docs/pom.xml.md",
]


@pytest.mark.parametrize(("path", "role", "folder"), STATES, ids=[row[0] for row in STATES])
def test_a_license_file_has_a_role_and_a_folder_that_it_governs(path, role, folder):
    assert (license_role(path), governed_directory(path)) == (role, folder)


@pytest.mark.parametrize("path", STATES_NOTHING)
def test_code_and_lists_of_people_or_of_others_licenses_state_nothing(path):
    assert license_role(path) is None


def test_a_manifest_counts_only_under_its_exact_name():
    assert license_role("Package.json") is None
    assert license_role("metadata") is None
    assert license_role("cargo.toml") is None
