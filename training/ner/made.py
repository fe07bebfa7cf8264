"""Lines made by rules: what sources say of people and of credentials, and what looks like it and is not.

A template has slots: `{name}`, `{user}`, `{pass}` and `{key}` become labelled values, the others text.
Each is wrapped as a comment, a string, Markdown or bare.
"""

from __future__ import annotations

import functools
import random
import re
from collections.abc import Callable
from typing import NamedTuple

from training.ner.names import People, listed, lists


class Labelled(NamedTuple):
    """A line, its entities (start, end, entity in characters), and what is not known of it."""

    text: str
    entities: tuple[tuple[int, int, str], ...]
    unknown: tuple[tuple[int, int], ...] = ()


_ENTITIES = {"name": "NAME", "user": "USERNAME", "pass": "PASSWORD", "key": "KEY"}

_GROUPS = {
    "people": 0.44,
    "logins": 0.16,
    "credentials": 0.12,
    "neither": 0.28,
}  # share of the lines
_WRAPS = (
    "{}", "{}", "# {}", "// {}", " * {}", "/* {} */", "-- {}", "; {}", "% {}", '"""{}"""', "<!-- {} -->", "   {}",
    "'{}'", '"{}",', "- {}", "* {}", "> {}", "{}  ", "#   {}", "dnl {}", ".. {}", "<p>{}</p>", "<li>{}</li>",
    '"{}\\n",', "// {}.", "# {} #",
)  # fmt: skip
_SLOT = re.compile(
    r"\{(name|user|pass|key|mail|org|year|date|noun|Noun|verb|number|product|license|host|term|place|month)\}"
)
_DOMAINS = ("corp.net", "lab.edu", "local", "dev.io")


def made_lines(people: People, num_lines: int) -> list[Labelled]:
    """So many lines: two in five of people, one in five each of logins and credentials, and of none."""
    chance = people.random
    groups = [lists()[name].split("\n") for name in _GROUPS]
    found = []
    for _ in range(num_lines):
        template = chance.choice(chance.choices(groups, list(_GROUPS.values()))[0])
        wrap = chance.choice(_WRAPS) if chance.random() < 0.75 else "{}"
        found.append(filled(wrap.replace("{}", template), people))
    return found


def filled(template: str, people: People) -> Labelled:
    """The template with its slots filled; entities where labelled values stand."""
    chance = people.random
    is_lower = chance.random() < 0.15
    text, position = "", 0
    entities = []
    for slot in _SLOT.finditer(template):
        before = template[position : slot.start()]
        text += before.lower() if is_lower else before
        value = _value(slot[1], people)
        if slot[1] in _ENTITIES:
            entities.append((len(text), len(text) + len(value), _ENTITIES[slot[1]]))
        text += value
        position = slot.end()
    text += template[position:]
    stripped = text.lstrip()
    shift = len(text) - len(stripped)
    moved = tuple((start - shift, end - shift, entity) for start, end, entity in entities)
    return Labelled(stripped.rstrip(), moved)


def _value(slot: str, people: People) -> str:
    chance = people.random
    maker: dict[str, Callable[[], str]] = {
        "name": people.name, "user": people.login, "pass": people.password, "key": people.key,
        "mail": people.mail, "org": lambda: _organisation(chance), "date": lambda: _date(chance),
        "year": lambda: str(chance.randint(1988, 2025)),
        "number": lambda: str(chance.randint(1, 12000)),
        "Noun": lambda: _word("nouns", chance).capitalize(),
        "host": lambda: f"{_word('nouns', chance)}.{chance.choice(_DOMAINS)}",
    }  # fmt: skip
    return maker[slot]() if slot in maker else _word(f"{slot}s", chance)


def _word(name: str, chance: random.Random) -> str:
    return chance.choice(_words(name))


@functools.cache
def _words(name: str) -> tuple[str, ...]:
    return listed(lists()[name])


def _organisation(chance: random.Random) -> str:
    text = _word("organisations", chance).replace("{N}", _word("nouns", chance).capitalize())
    text = text.replace("{P}", _word("places", chance))
    return text.replace("{M}", _word("nouns", chance).capitalize())


def _date(chance: random.Random) -> str:
    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(1995, 2025)
    name = _words("months")[month - 1]
    forms = (
        f"{year}-{month:02}-{day:02}", f"{day:02}/{month:02}/{year % 100:02}", f"{name} {day}, {year}",
        f"{day} {name[:3]} {year}", str(year),
    )  # fmt: skip
    return chance.choice(forms)
