"""In which order do a repository's files stand in its document?    paths, texts -> the order

A file comes after those that it imports, as far as that can be told from the text: Python's imports, C's quoted
includes, relative imports of JavaScript and TypeScript. The files are visited by path; an import that leads in
a circle is passed over. So the order depends on the files alone.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator, Sequence

_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(\.*)([\w.]*)[ \t]+import[ \t]+([\w*][\w ,]*|\()|import[ \t]+([\w., \t]+))",
    re.MULTILINE,
)
_C = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)
_SCRIPT = re.compile(
    r"""(?:\bfrom[ \t]*|\bimport[ \t]*\(?[ \t]*|\brequire\([ \t]*)["'](\.{1,2}/[^"'\n]+)["']"""
)
_C_EXTENSIONS = (
    ".c",
    ".h",
    ".cc",
    ".cpp",
    ".cxx",
    ".hpp",
    ".hh",
    ".hxx",
    ".inl",
    ".m",
    ".mm",
    ".cu",
)
_SCRIPT_EXTENSIONS = (
    ".js",
    ".jsx",
    ".mjs",
    ".cjs",
    ".ts",
    ".tsx",
    ".mts",
    ".cts",
    ".vue",
    ".svelte",
)
_INDEXES = ("", *_SCRIPT_EXTENSIONS, *(f"/index{end}" for end in _SCRIPT_EXTENSIONS))

Finder = Callable[[str, str, dict[str, int]], Iterator[int]]


def dependency_order(paths: Sequence[str], texts: Sequence[str]) -> list[int]:
    """Places of the files in order: what is imported first, and else by path.

    Cost: one walk of the texts by regular expressions, and what they find.
    """
    place_of = {path: place for place, path in enumerate(paths)}
    places: list[int] = []
    state = [0] * len(paths)  # 1: its imports are being visited; 2: it has its place
    imports: dict[int, list[int]] = {}
    for root in sorted(range(len(paths)), key=paths.__getitem__):
        stack = [root]
        while stack:
            place = stack[-1]
            if state[place] == 2:
                stack.pop()
                continue
            if state[place] == 0:
                state[place] = 1
                found = set(_imports(paths[place], texts[place], place_of)) - {place}
                imports[place] = sorted(found, key=paths.__getitem__, reverse=True)
            waiting = [other for other in imports[place] if state[other] == 0]
            if waiting:
                stack.append(waiting[-1])
                continue
            state[place] = 2
            places.append(place)
            stack.pop()
    return places


def _imports(path: str, text: str, place_of: dict[str, int]) -> Iterator[int]:
    """Places of the files that a file imports."""
    lower = path.lower()
    if lower.endswith((".py", ".pyi", ".pyx")):
        yield from _of_python(path, text, place_of)
    elif lower.endswith(_C_EXTENSIONS):
        yield from _of_c(path, text, place_of)
    elif lower.endswith(_SCRIPT_EXTENSIONS):
        yield from _of_script(path, text, place_of)


def _of_python(path: str, text: str, place_of: dict[str, int]) -> Iterator[int]:
    folder = posixpath.dirname(path)
    for dots, module, names, plain in _PYTHON.findall(text):
        if plain:
            for name in plain.split(","):
                yield from _module(_above(folder), name.split(" as ")[0].strip(), place_of)
            continue
        if dots:
            base = folder
            for _ in range(len(dots) - 1):
                base = posixpath.dirname(base)
            roots = [base]
        else:
            roots = _above(folder)
        yield from _module(roots, module, place_of)
        for name in names.replace("(", "").split(","):  # a name may be a module of the package
            whole = f"{module}.{name.split(' as ')[0].strip()}".strip(".")
            yield from _module(roots, whole, place_of)


def _above(folder: str) -> list[str]:
    """The folder and those above it: any may be where packages lie."""
    found = [folder]
    while folder:
        folder = posixpath.dirname(folder)
        found.append(folder)
    return found


def _module(roots: Sequence[str], module: str, place_of: dict[str, int]) -> Iterator[int]:
    if not module:
        return
    inner = module.replace(".", "/")
    for root in roots:
        stem = posixpath.join(root, inner)
        for path in (f"{stem}.py", f"{stem}/__init__.py", f"{stem}.pyx"):
            if path in place_of:
                yield place_of[path]
                return


def _of_c(path: str, text: str, place_of: dict[str, int]) -> Iterator[int]:
    for name in _C.findall(text):
        for root in _above(posixpath.dirname(path)):
            for folder in (root, posixpath.join(root, "include"), posixpath.join(root, "src")):
                found = place_of.get(posixpath.normpath(posixpath.join(folder, name)))
                if found is not None:
                    yield found
                    break
            else:
                continue
            break


def _of_script(path: str, text: str, place_of: dict[str, int]) -> Iterator[int]:
    folder = posixpath.dirname(path)
    for name in _SCRIPT.findall(text):
        stem = posixpath.normpath(posixpath.join(folder, name))
        for end in _INDEXES:
            found = place_of.get(stem + end)
            if found is not None:
                yield found
                break
