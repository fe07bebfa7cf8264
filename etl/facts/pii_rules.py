"""What is looked for, and in which order of precedence: HINTS for Hyperscan, RULES that name spans.

A hint is an expression with few matches; its check looks at the text around one and answers with
what it confirms there. The three hints of addresses stand first: compiled kernels check them.

Source: StarCoder 2, section 4.1, and the guards of its published code; the providers' documentation.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

from etl.facts import pii_credits, pii_keys, pii_names, pii_secrets, pii_users

EMAIL = "email"
IP_ADDRESS = "ip_address"
KEY = "key"
NAME = "name"
PASSWORD = "password"
USERNAME = "username"
KINDS = (EMAIL, IP_ADDRESS, KEY, NAME, PASSWORD, USERNAME)


class Rule(NamedTuple):
    name: str
    kind: str


class Match(NamedTuple):
    """Bytes [start, end) of the buffer. The score orders by how often such a hit is right."""

    start: int
    end: int
    rule: str
    score: float
    is_declared: bool = False  # a person of the repository's: to be looked for in its other files
    user: bytes = b""  # a login of the repository's, likewise


Check = Callable[[memoryview, int, int, int], list[Match]]


class Hint(NamedTuple):
    """`check(view, low, high, hit)`: the row's bounds; where a match ends, or starts if it is needed."""

    name: str
    expression: bytes
    check: Check
    is_caseless: bool = False
    needs_start: bool = False
    is_owner: bool = False
    score: float = 0.0
    group: str = ""  # hints of a group do not look inside one another's finds


def _unused(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
    raise NotImplementedError("addresses are checked by etl.facts.pii_addresses")


def _format(key_format: pii_keys.Format) -> Hint:
    def check(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
        found = pii_keys.check_format(view, low, high, hit, key_format)
        return [Match(found[0], found[1], key_format.rule, found[2])] if found else []

    return Hint(key_format.rule, key_format.hint, check)


def _key(
    name: str,
    expression: bytes,
    function: Callable[[memoryview, int, int, int], pii_keys.Found | None],
) -> Hint:
    def check(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
        found = function(view, low, high, hit)
        return [Match(found[0], found[1], name, found[2])] if found else []

    return Hint(name, expression, check, needs_start=True, group=name)


def _secret(
    name: str,
    expression: bytes,
    function: Callable[[memoryview, int, int, int], pii_secrets.Secret | None],
) -> Hint:
    def check(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
        found = function(view, low, high, hit)
        if found is None:
            return []
        matches = [Match(found.start, found.end, found.rule, found.score)]
        user = pii_secrets.user_of_url(view, low, found) if found.rule == "url_password" else None
        if user is not None:
            matches.append(Match(user.start, user.end, user.rule, user.score))
        return matches

    return Hint(name, expression, check, is_caseless=True)


def _names(
    name: str,
    expression: bytes,
    function: Callable[[memoryview, int, int, int], list[pii_names.Name]],
) -> Hint:
    def check(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
        found: list[Match] = []
        for each in function(view, low, high, hit):
            text = bytes(view[each.start : each.end])
            if each.rule in pii_credits.LOGIN_RULES:
                found.append(Match(each.start, each.end, each.rule, 0.7, user=text))
                continue
            is_declared = not pii_names.is_thing(text)
            found.append(Match(each.start, each.end, each.rule, 0.8, is_declared=is_declared))
            login = pii_users.beside_name(view, high, each.end, text)
            if login is not None:
                user = bytes(view[login.start : login.end])
                found.append(Match(login.start, login.end, login.rule, 0.7, user=user))
        return found

    return Hint(name, expression, check)


def _before_address(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
    """A name and, as a login, the part of its address before the `@`."""
    login = pii_names.local_part(view, low, hit)
    return [
        Match(each.start, each.end, each.rule, 0.8, is_declared=True, user=login)
        for each in pii_names.check_before_address(view, low, high, hit)
    ]


def _users(
    name: str,
    expression: bytes,
    function: Callable[[memoryview, int, int, int], list[pii_users.User]],
) -> Hint:
    def check(view: memoryview, low: int, high: int, hit: int) -> list[Match]:
        found: list[Match] = []
        for each in function(view, low, high, hit):
            user = bytes(view[each.start : each.end]) if each.is_sure else b""
            found.append(Match(each.start, each.end, each.rule, 0.7, user=user))
        return found

    return Hint(name, expression, check)


HINTS: tuple[Hint, ...] = (
    Hint(EMAIL, rb"[a-z0-9_%+-]@[a-z0-9-]{1,63}\.[a-z]", _unused, is_caseless=True, score=0.9),
    Hint("ipv4", rb"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]", _unused, score=0.8),
    Hint("ipv6", rb"[23][0-9a-f]{3}:[0-9a-f]{0,4}:", _unused, is_caseless=True, score=0.9),
    _key(
        "private_key",
        rb"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----",
        pii_keys.check_pem,
    ),
    _key("putty_private_lines", rb"Private-Lines: [0-9]", pii_keys.check_putty),
    _key("jwt", rb"eyJ[A-Za-z0-9_-]{9}", pii_keys.check_jwt),
    *(_format(key_format) for key_format in pii_keys.formats()),
    _secret("url", pii_secrets.URL, pii_secrets.check_url),
    _secret("header", pii_secrets.HEADER, pii_secrets.check_header),
    _secret("quoted", pii_secrets.QUOTED, pii_secrets.check_quoted),
    _secret("bare", pii_secrets.BARE, pii_secrets.check_bare),
    _secret("element", pii_secrets.ELEMENT, pii_secrets.check_element),
    _secret("attribute", pii_secrets.ATTRIBUTE, pii_secrets.check_attribute),
    _secret("plist", pii_secrets.PLIST, pii_secrets.check_plist),
    _secret("pair", pii_secrets.PAIR, pii_secrets.check_pair),
    _secret("web_key", pii_secrets.WEB_KEY, pii_secrets.check_web_key),
    _secret("shell_user", pii_secrets.SHELL_USER, pii_secrets.check_shell_user),
    _names("copyright", pii_names.COPYRIGHT_HINT, pii_names.check_copyright),
    _names("author", pii_names.AUTHOR_HINT, pii_names.check_author),
    Hint("name_before_address", pii_names.ADDRESS_HINT, _before_address),
    _names("name_behind_address", pii_names.BEHIND_ADDRESS_HINT, pii_names.check_behind_address),
    _names("credit", pii_credits.CREDIT_HINT, pii_credits.check_credit),
    _names("by_name", pii_credits.BY_HINT, pii_credits.check_by),
    _names("list", pii_credits.LIST_HINT, pii_credits.check_list),
    _names("manifest", pii_credits.MANIFEST_HINT, pii_credits.check_manifest),
    _names("entry", pii_credits.ENTRY_HINT, pii_credits.check_entry),
    _names("link", pii_credits.LINK_HINT, pii_credits.check_link),
    _users("mention", pii_users.MENTION_HINT, pii_users.check_mention),
    _users("todo", pii_users.TODO_HINT, pii_users.check_todo),
    _users("home", pii_users.HOME_HINT, pii_users.check_home),
    _users("profile", pii_users.PROFILE_HINT, pii_users.check_profile),
    _users("home_page", pii_users.HOME_PAGE_HINT, pii_users.check_home_page),
    _users("revision", pii_users.REVISION_HINT, pii_users.check_revision),
    _users("ssh", pii_users.SSH_HINT, pii_users.check_ssh),
    _users("author_login", pii_users.AUTHOR_LOGIN_HINT, pii_users.check_author_login),
    Hint("code_owner", pii_names.OWNER_HINT, _unused, is_owner=True),
)

RULES: tuple[Rule, ...] = (  # by precedence: what is surest of what it is stands first
    Rule("private_key", KEY),
    Rule("putty_private_lines", KEY),
    Rule("jwt", KEY),
    *(Rule(key_format.rule, KEY) for key_format in pii_keys.formats()),
    Rule("url_password", PASSWORD),
    Rule("shell_password", PASSWORD),
    Rule("authorization_header", KEY),
    *(Rule(f"{rule}_key", KEY) for rule in pii_secrets.context_rules()),
    Rule("password", PASSWORD),
    Rule("web_key", KEY),
    Rule("secret", KEY),
    Rule(pii_users.SSH, USERNAME),  # before the host of ssh stands no address
    Rule(EMAIL, EMAIL),
    Rule("ipv4", IP_ADDRESS),
    Rule("ipv6", IP_ADDRESS),
    Rule("url_user", USERNAME),
    Rule(pii_names.COPYRIGHT_HOLDER, NAME),
    Rule(pii_names.AUTHOR, NAME),
    Rule(pii_names.NAME_BEFORE_ADDRESS, NAME),
    Rule(pii_names.NAME_BEHIND_ADDRESS, NAME),
    *(Rule(rule, NAME) for rule in pii_credits.RULES),
    *(Rule(rule, USERNAME) for rule in pii_users.RULES if rule != pii_users.SSH),
    *(Rule(rule, USERNAME) for rule in pii_credits.LOGIN_RULES),
)


@functools.cache
def _numbers() -> dict[str, int]:
    return {rule.name: number for number, rule in enumerate(RULES)}


def rule_number(name: str) -> int:
    """Index in RULES. Raises KeyError."""
    return _numbers()[name]
