"""What is imported comes first; the order is a function of the files alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from etl.pack.order import dependency_order


def ordered(files: dict[str, str]) -> list[str]:
    paths = list(files)
    return [paths[place] for place in dependency_order(paths, list(files.values()))]


def test_python_files_follow_what_they_import() -> None:
    files = {
        "src/app/__init__.py": "",
        "src/app/a_main.py": "from app.core import run\nimport app.zeta, os\n",
        "src/app/core.py": "from . import util\nfrom .sub.deep import thing\n",
        "src/app/sub/deep.py": "from ..util import x\n",
        "src/app/util.py": "import sys\n",
        "src/app/zeta.py": "",
        "README.md": "import app.zeta",
    }
    found = ordered(files)
    assert found.index("src/app/util.py") < found.index("src/app/sub/deep.py")
    assert found.index("src/app/sub/deep.py") < found.index("src/app/core.py")
    assert found.index("src/app/core.py") < found.index("src/app/a_main.py")
    assert found.index("src/app/zeta.py") < found.index("src/app/a_main.py")
    assert found[0] == "README.md"


def test_includes_and_relative_imports_lead_to_files() -> None:
    files = {
        "a.c": '#include "lib/b.h"\n#include <stdio.h>\n',
        "include/lib/b.h": "",
        "web/app.ts": "import { x } from './z';\nconst y = require('../shared');\n",
        "web/z/index.ts": "",
        "shared.js": "",
    }
    found = ordered(files)
    assert found.index("include/lib/b.h") < found.index("a.c")
    assert found.index("web/z/index.ts") < found.index("web/app.ts")
    assert found.index("shared.js") < found.index("web/app.ts")


def test_circles_end_and_a_chain_of_thousands_is_no_recursion() -> None:
    assert sorted(ordered({"a.py": "import b", "b.py": "import a"})) == ["a.py", "b.py"]
    chain = {f"m{i:05d}.py": f"import m{i + 1:05d}\n" for i in range(5000)}
    assert ordered(chain) == sorted(chain, reverse=True)


@given(data=st.data())
def test_the_order_does_not_depend_on_the_order_of_rows(data: st.DataObject) -> None:
    names = [f"m{i}" for i in range(8)]
    files = {
        f"{name}.py": "".join(
            f"import {other}\n" for other in data.draw(st.lists(st.sampled_from(names), max_size=4))
        )
        for name in names
    }
    shuffled = dict(data.draw(st.permutations(list(files.items()))))
    assert ordered(files) == ordered(shuffled)
    assert sorted(ordered(files)) == sorted(files)
