"""People, logins, passwords and keys of nobody: made by rules from lists and syllables, by a seed.

Given and family names are combined within a culture. Half of them are new: the beginning of one name with the
end of another, or syllables of the culture, so that a name is known by its shape and its place, not by having
been seen. A share of all names
is kept for the held-out lines alone.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import random
import string
import tomllib
import unicodedata
from typing import Any, NamedTuple

HELD_OUT_SHARE = 0.15


class Culture(NamedTuple):
    given: tuple[str, ...]
    family: tuple[str, ...]
    syllables: tuple[str, ...]  # of further family names
    endings: tuple[str, ...]
    particles: tuple[str, ...]


@functools.cache
def cultures() -> tuple[Culture, ...]:
    """Of data/names.toml; the last writes in ideographs."""
    return tuple(
        Culture(*(listed(values.get(field, "")) for field in Culture._fields))
        for values in _read("names.toml").values()
    )


@functools.cache
def lists() -> dict[str, str]:
    """data/lines.toml: templates, and words for their slots."""
    return _read("lines.toml")


def listed(text: str) -> tuple[str, ...]:
    """Words apart at blanks; an underscore is a blank."""
    return tuple(word.replace("_", " ") for word in text.split())


def _read(name: str) -> dict[str, Any]:
    text = importlib.resources.files("training.ner").joinpath("data", name).read_text("utf-8")
    return tomllib.loads(text)


class People:
    """Values of one half: `is_held_out` has names that the other has not."""

    def __init__(self, seed: int, is_held_out: bool) -> None:
        self.random = random.Random(f"{seed} {is_held_out}")
        self.is_held_out = is_held_out
        self.nicks = listed(lists()["nicks"])
        self.password_words = listed(lists()["password_words"])
        self.cultures = [
            Culture(self._half(c.given), self._half(c.family), c.syllables, c.endings, c.particles)
            for c in cultures()
        ]

    def _half(self, names: tuple[str, ...]) -> tuple[str, ...]:
        limit = int(256 * HELD_OUT_SHARE)
        chosen = tuple(
            name
            for name in names
            if (hashlib.sha256(name.encode()).digest()[0] < limit) == self.is_held_out
        )
        return chosen or names[:2]

    def culture(self) -> Culture:
        # the ideographs are rare in code: one culture in forty
        pool = self.cultures[:-1] if self.random.random() < 0.975 else self.cultures[-1:]
        return self.random.choice(pool)

    def given(self, culture: Culture) -> str:
        return (
            self._spliced(culture.given)
            if self.random.random() < 0.4
            else self.random.choice(culture.given)
        )

    def _spliced(self, names: tuple[str, ...]) -> str:
        """The beginning of one name and the end of another, of two to twelve letters."""
        first, last = self.random.choices(names, k=2)
        name = first[: self.random.randint(1, max(1, len(first) - 1))]
        name += last[self.random.randint(1, max(1, len(last) - 1)) :].lower()
        return name if 2 <= len(name) <= 12 and name.isalpha() else first

    def family(self, culture: Culture) -> str:
        chance = self.random.random()
        if chance < 0.3:
            return self._spliced(culture.family)
        if chance < 0.55:
            syllables = "".join(self.random.choices(culture.syllables, k=1))
            return syllables + self.random.choice(culture.endings)
        return self.random.choice(culture.family)

    def name(self) -> str:
        """A full name, as people write theirs: initials, particles, two given names, capitals."""
        culture, chance = self.culture(), self.random.random()
        given, family = self.given(culture), self.family(culture)
        if culture.given and given[0] > "\u2e80":
            return family + given
        if culture.particles and self.random.random() < 0.2:
            family = f"{self.random.choice(culture.particles)} {family}"
        if chance < 0.68:
            return f"{given} {family}"
        if chance < 0.78:
            return f"{given} {self.random.choice(string.ascii_uppercase)}. {family}"
        if chance < 0.83:
            return f"{given[0]}. {family}"
        if chance < 0.85:
            return f"{given[0]}.{self.random.choice(string.ascii_uppercase)}. {family}"
        if chance < 0.9:
            return f"{given} {self.given(culture)} {family}"
        if chance < 0.94:
            return f"{given}-{self.given(culture)} {family}"
        if chance < 0.97:
            return f"{given} {family}-{self.family(culture)}".replace(" -", "-")
        return f"{given} {family}".upper()

    def login(self) -> str:
        culture, chance = self.random.choice(self.cultures[:-1]), self.random.random()
        given, family = (_ascii(name) for name in (self.given(culture), self.family(culture)))
        if not given or not family:
            given, family = "kim", "lee"
        digits = str(self.random.randint(1, 2021)) if self.random.random() < 0.4 else ""
        if chance < 0.25:
            return given[0] + family + digits
        if chance < 0.4:
            return given + self.random.choice(["", "-", "_", "."]) + family
        if chance < 0.5:
            return family + given[0]
        if chance < 0.6:
            return given + (digits or str(self.random.randint(10, 99)))
        if chance < 0.7:
            return given.capitalize() + family.capitalize() + digits
        first, last = self.random.choices(self.nicks, k=2)
        if chance < 0.85:
            return first + self.random.choice(["", "", "-", "_"]) + last + digits
        if chance < 0.92:
            return first + self.random.choice(self.nicks).capitalize() + digits
        return "".join(self.random.choice(string.ascii_lowercase) for _ in range(4)) + digits

    def password(self) -> str:
        chance = self.random.random()
        word = self.random.choice(self.password_words)
        if chance < 0.35:
            word = word.capitalize() if self.random.random() < 0.5 else word
            return (
                word + str(self.random.randint(1, 9999)) + self.random.choice(["", "!", "#", "$"])
            )
        if chance < 0.5:
            return (
                word[:3] + self.random.choice("@$_-.") + word[3:] + str(self.random.randint(1, 99))
            )
        if chance < 0.6:
            return self.login() + self.random.choice(["", "!", "1", "2020"])
        signs = string.ascii_letters + string.digits + ("!@#$%^&*-_+=" if chance < 0.85 else "")
        return "".join(self.random.choice(signs) for _ in range(self.random.randint(7, 16)))

    def key(self) -> str:
        size = self.random.choice((16, 20, 24, 32, 40))
        signs = self.random.choice(
            (
                string.hexdigits[:16],
                string.ascii_letters + string.digits,
                string.ascii_lowercase + string.digits,
            )
        )
        return "".join(self.random.choice(signs) for _ in range(size))

    def mail(self) -> str:
        hosts = (
            "mailbox.org",
            "posteo.net",
            "acme.io",
            "uni-lab.edu",
            "corp.co.uk",
            "users.noreply.net",
        )
        return f"{self.login()}@{self.random.choice(hosts)}"


def _ascii(name: str) -> str:
    plain = unicodedata.normalize("NFKD", name.lower().replace("ı", "i").replace("ß", "ss"))
    return "".join(letter for letter in plain if letter in string.ascii_lowercase)
