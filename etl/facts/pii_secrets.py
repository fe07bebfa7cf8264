"""Which value beside a telling name is a password or a key?    a hit in a row -> span, kind, rule

A hint ends inside the value of an assignment in whatever language: `password = "..."`,
`"api_key": "..."`, `TOKEN=...`, `--token ...`, `<password>...</password>`, `user:pass@host`. The name
is read backwards from there and the value forwards, both on one line; then the name says what kind
of secret it would be, and the value whether it is one. A quoted value needs less proof than a bare
one, which in most languages is an expression. `etl/data/key_contexts.tsv` has the providers whose
keys have a form but no mark of their own: they count where the name says whose they are.

Never taken: templates, placeholders, hashes, names of fields, paths, words (in Python: the hints
leave some sixty candidates in a megabyte of code, and each is looked at in a window of 800 bytes).
"""

from __future__ import annotations

import base64
import csv
import functools
import importlib.resources
import re
from typing import NamedTuple

from etl.facts.pii_text import (
    bits_a_letter,
    entropy,
    is_gibberish,
    is_placeholder,
    is_random,
    is_regular,
    is_template,
    is_uuid,
    is_worded,
    words,
)

KEY, PASSWORD, USERNAME = "key", "password", "username"


class Secret(NamedTuple):
    """Bytes [start, end) of the buffer, of that kind, found by that rule."""

    start: int
    end: int
    kind: str
    rule: str
    score: float


# Names, in hints. Hyperscan has no look-around: what a name must not be is checked later.
_NAMES = (
    rb"(?:passw(?:or)?d|passwd|passphrase|passcode|[_.-]pass|pass[_.-]?w|db_?pass|user_?pass|[_.-]psw|\bpsw|pwd|[_.-]pw"
    rb"|(?:admin|root|login|key|store|smtp|mail|ftp|proxy|ssh|ldap|mysql|my)_?pass\b"
    rb"|secret|token|bearer|credential|api[-_. ]?key|apikey|app[-_.]?(?:key|id)|\bpass\b"
    rb"|(?:access|auth|priv(?:ate)?|encrypt(?:ion)?|decrypt(?:ion)?|signing|sign|client|account|consumer|service|shared"
    rb"|storage|master|db|database|license|subscription|crypto?|aes|hmac|jwt|session|cookie|ssh|rsa|dsa|s3|aws"
    rb"|webhook|admin|root|user|security|integration|write|read|server|maps?)[-_. ]?key|\bkey\b|authorization|\bauth\b"
    rb"|salt\b|\bseed\b|sas[-_]?token|\bdsn\b)"
)
_TAIL = rb"[\w.\-]{0,24}"
QUOTED = (
    _NAMES
    + _TAIL
    + rb"[\\\"'`\])]{0,4}[ \t]{0,12}(?::[ \t]{0,2}[a-z.\[\]?| ]{1,20})?[:=>(,~!?|]{0,4}"
    rb"[ \t]{0,12}(?:new |await )?\\?[a-z@]{0,2}[\"'`][^\s\"'`]{4}"
)
BARE = (
    _NAMES
    + _TAIL
    + rb"[\"'\]]{0,2}[ \t]{0,20}(?:=>?|:=?|[ \t])[ \t]{0,12}[^\s\"'`<>(){}\[\],;=:]{4}"
)
ELEMENT = _NAMES + rb"[\w:.\-]{0,24}[\"']{0,1}[^<>\n]{0,40}>[ \t]{0,4}(?:<!\[CDATA\[)?[^<>\s]{4}"
ATTRIBUTE = _NAMES + _TAIL + rb"[\"'][ \t]{1,4}(?:value|content|default)=[\"'][^\"'\s]"
PLIST = _NAMES + _TAIL + rb"[ \t]{0,2}</key>\s{0,12}<string>[^<\s]"
PAIR = (
    _NAMES
    + _TAIL
    + rb"\\?[\"']\s{0,4},\s{0,40}\\?[\"']value\\?[\"']\s{0,4}[:=]\s{0,4}\\?[\"'][^\s\"'`]{4}"
)
WEB_KEY = rb"[\"'][dk]\\?[\"']\s{0,4}:\s{0,4}\\?[\"'][A-Za-z0-9_-]{20}"
URL = rb"[a-z0-9]://[^\s/:@\"'<>\\]{0,80}:[^\s/@\"'<>]{1,100}@[a-z0-9\[_]"
HEADER = rb"(?:bearer|basic|token|digest)[ ]{1,2}[A-Za-z0-9+/=_.~\-]{16}"
SHELL_USER = rb"\s(?:-u|--user)[ =][\"']?[\w.@\-]{1,40}:[^\s\"'`$<>{}]{3}"

# Read backwards, so that a match begins where the value does and the text before is looked at once.
_LEFT = re.compile(
    rb"(?P<quote>[\"'`]{1,3}\\?)(?P<prefix>[A-Za-z@]{0,2})(?: wen| tiawa)?[ \t]{0,12}"
    rb"(?P<sep>[:=>(,~!?|]{0,4})[ \t]{0,12}(?P<close>[\"'`\])]{0,3}\\?[\"'`\])]{0,1})(?P<name>[\w$@.\-/]{1,64})"
)
_TYPE = re.compile(
    rb"[A-Za-z.\[\]?| ]{1,20}[ \t]{0,2}:[ \t]{0,2}(?P<close>[\"'`\])]{0,2})(?P<name>[\w$@.\-/]{1,64})"
)
_QUOTED_LONGEST = 2048
_WINDOW = 160

_PASSWORD_NAME = re.compile(
    rb"(?i)pass(?:w(?:or)?d|phrase|code)(?![a-z])|pass(?:[_-]?v?\d{1,3})?\Z|passw(?:or)?d|passphrase|passwd|(?<!s)pwd|(?:\A|[_.\-])psw|(?:\A|[_.\-])pw\d?\Z|userpass"
)
_KEY_NAME = re.compile(
    rb"(?i)secret|token|credential|api[-_. ]?key|auth|bearer|jwt|salt|seed|hmac|dsn"
    rb"|[a-z0-9][-_. ]?key|access[-_. ]?id"
)
# `setPass("...")`, `user_pass("...")`; not `FUNCTION_PASS("...")`
_PASS_OF_CALL = re.compile(rb"(?i)(?:\A|set_?|with_?|user_?|db_?)pass\Z")
_NOT_SECRET = re.compile(  # what the last words of a name make of it
    rb"(?i)(?:field|name|label|text|placeholder|hint|url|uri|urls|endpoint|path|file|filename|dir|folder|type|types"
    rb"|length|len|size|min|max|regex|regexp|pattern|prefix|suffix|column|header|headers|param|params|parameter|prompt"
    rb"|title|message|msg|error|errors|help|desc|description|reset|policy|expir(?:y|es|ation|ed)|ttl|timeout|encoding"
    rb"|format|class|ids?|attr|attribute|selector|input|html|icon|link|page|view|route|list|count|index|provider|mgr"
    rb"|service|manager|method|scopes?|strategy|rule|mode|enabled|required|strength|env|var|variable|algorithm|alg|hash"
    rb"|hashed|digest|checksum|version|status|state|template|callback|action|event|button|form|option|store|backend"
    rb"|handler|arn|location|issuer|audience|kind|position|info|data|table|usage|role|group|request|response|test|code"
    rb"|lifetime|duration|date|time|domain|host|account|email|realm|limit|cache|ref|reference|property|properties"
    rb"|keyword|delimiter|separator|symbol|value_?type|display|confirm(?:ation)?|usages?|ops|spec|map|alias|string_?id|uuid"
    rb"|guid|options?|i?(?:startswith|contains|exact|regex)|i?endswith|isnull)s?\Z"
)
_NOT_SECRET_AT_ALL = re.compile(
    rb"(?i)public|pubkey|hash|sha\d|md5|checksum|digest|fingerprint|integrity|etag|csrf|xsrf|pagination|next[_-]?(?:page|token)"
    rb"|page[_-]?token|continuation|cancel|token(?:ize|izer|s\Z|_?type|_?id)|bos_|eos_|pad_|unk_|sep_|mask_|cls_"
    rb"|special|forgot|author(?!i)|keyboard|keyword|foreign|primary|sort|partition|shortcut|hotkey|i18n|locale"
    rb"|translation|commit|revision|license.?id|by_?pass|compass|pass(?:ed|ing|es|ive|enger|ion|port)|trespass"
    rb"|monkey|turkey|hockey|jockey|donkey|whiskey|seed(?:s|ed|ing|er)|input_?token|stop_?token|websocket|client_?token\Z"
    rb"|\AE(?:RR(?:OR)?)?_|\AINVALID_"
)
_SECRET_NAME = re.compile(
    rb"(?i)secret|token|credential|api|auth|priv|access|pass|salt|bearer|jwt|encr|signing|master|hmac|crypt|cookie|session"
)
_WEAK_NAMES = (b"key", b"seed", b"auth", b"session", b"cookie")
_TOLD_SECRET = re.compile(rb"(?i)secret|api[-_.]?key")
_KEY_VALUE = re.compile(rb"[A-Za-z0-9+/=_.~:!@#$%^&*?|;,-]+")
_HASH = re.compile(rb"[0-9a-fA-F]{32}|[0-9a-fA-F]{40}|[0-9a-fA-F]{64}")
_HASH_NEAR = re.compile(
    rb"(?i)sha(?:1|2|256|384|512)?\b|sha\d|md5|integrity|checksum|digest|fingerprint|hash|commit|crc"
)
_PATHS = re.compile(
    rb"\A(?:[a-z][a-z0-9+.-]*:)?//?[A-Za-z0-9_.]|\A\.{0,2}/|\A[A-Za-z]:\\|\.(?:py|js|ts|json|ya?ml|txt|pem|key|crt|cer|php|html?"
    rb"|rb|go|java|xml|conf|cfg|ini|toml|sh|png|svg|css|md|pub|p12|jks|pfx|xz|gz|zip|tar|rs|[ch]|cpp|csv|log|bak|std(?:err|out))\Z|\A[\w-]+(?:/[\w.-]+){1,8}\Z"
)
_CODE = re.compile(
    rb"[(){}\[\]<>;$|`\\]|->|::|=>|&&|\A[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\Z|\A(?:self|this|cls)\b"
)
_IDENTIFIER = re.compile(rb"[A-Za-z_]+\Z")
_WEAK_PASSWORD = re.compile(rb"(?i)[a-z]*\Z")
NOT_PASSWORD = re.compile(  # a version, an option, an encoding, an algorithm, a protocol, escapes alone
    rb"(?i)[~^<>=v]{0,2}\d+(?:\.(?:\d+|x|\*)){1,3}(?:[-.]?(?:rc|alpha|beta|dev|post|b)\.?\d*)?|--?[a-z][a-z-]*=?"
    rb"|(?:non-|not-|bad-)?(?:utf|ucs)[-_]?\d+(?:[-_]?[lb]e)?|latin[-_]?\d|iso-?8859-\d+|cp\d{3,4}|base(?:16|32|58|64)\w{0,4}"
    rb"|(?:hmac-?)?sha-?[0-9]{1,3}(?:[-_]\w+)?|md[45]|[re]s(?:256|384|512)|hs(?:256|384|512)|aes-?\d+(?:-\w+)?|pbkdf2\w*"
    rb"|[a-z][a-z_.-]*=[\w.-]+|argon2\w*|bcrypt\d?|scrypt\d?|x509|pkcs\W?\d+|oauth[12]?|http[s23]?|urllib[0-9]|ipv[46]|(?:\\x[0-9a-f]{2}|\\u[0-9a-f]{4}"
    rb"|\\[0rnt])+"
)
_HASHED = re.compile(  # a password's hash, with its method before it
    rb"\$(?:[0-9][a-z]?|y|argon2\w*|pbkdf2[\w-]*|scrypt)\$|(?:md5|sha\d+|bcrypt\w*|pbkdf2\w*|argon2\w*|scrypt|crypt)\$|\{"
)
# `RABBIT_PASS`, to be replaced by who reads it
_CONSTANT = re.compile(rb"[A-Z]+\d?(?:_[A-Z]+\d?)+")
_NUMBER = re.compile(rb"[0-9]+(?:\.[0-9]+)?\Z")
_RANGE = re.compile(rb"[0-9.]+-[0-9.]+|0[xX][0-9A-Fa-f]{1,16}[uUlL]*")
_PART = re.compile(rb"[A-Z]{2,}(?![a-z])|[A-Z]?[a-z]+|[0-9]+|[^A-Za-z0-9_.\- ]")
_FOREIGN = re.compile(rb"\\u[0-9A-Fa-f]{4}|[\x80-\xff]+")
_DATE = re.compile(rb"\d{4}[-/]\d\d?[-/]\d\d?")
_MAIL = re.compile(rb"[\w.+-]+@[\w-]+\.[\w.]+\Z")

_BARE_LEFT = re.compile(
    rb"(?P<lead>[^\n]{0,200}?)(?P<name>[A-Za-z0-9_$@.\-]{1,80})(?P<close>[\"'\]]{0,2})(?P<space>[ \t]*)"
    rb"(?P<sep>=>?|:=?|[ \t])(?P<gap>[ \t]*)\Z"
)
_BARE_VALUE = re.compile(rb"[^\s\"'`<>]{4,256}")
_LINE_START = re.compile(
    rb"[ \t]*(?:[#;/*]+[ \t]*|//[ \t]*)?(?:-[ \t]+|export[ \t]+|set[ \t]+|setx[ \t]+"
    rb"|ENV[ \t]+|ARG[ \t]+|-e[ \t]+|\$env:)?[ \t]*[\"']?\Z"
)
_LINE_END = re.compile(rb"[ \t]*(?:\\?\r?(?:\n|\Z)|[ \t]#|[ \t]//|\\n)")
_OPTION = re.compile(rb"(?:\A|.*[\s\"'`(\[=,])--?\Z", re.S)
_CONNECTION = re.compile(
    rb"(?i)(?:server|data source|host|uid|user id|user|username|database|initial catalog|endpoint"
    rb"|provider)[ \t]*=[^;\n]{1,200};"
)
_QUERY = re.compile(rb"[?&](?:amp;)?\Z")
_SHELL_USER = re.compile(rb"(?:-u|--user)[ =][\"']?[\w.@\-]{1,40}:\Z")
_URL = re.compile(
    rb"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]{1,20})://(?P<user>[^\s/:@\"'<>\\]{0,80}):(?P<pass>[^\s/@\"'<>]{1,100})@(?P<host>[A-Za-z0-9_.\-\[\]]{1,100})"
)
_ELEMENTS = (  # an element by its own name, or by an attribute's value
    re.compile(rb"<(?P<name>[\w:.\-]{2,60})(?:[ \t][^<>\n]{0,60})?>[ \t]*(?:<!\[CDATA\[)?\Z"),
    re.compile(rb"=[\"'](?P<name>[\w:.\-]{2,60})[\"'][^<>\n]{0,60}>[ \t]*(?:<!\[CDATA\[)?\Z"),
)
_SECOND = re.compile(rb"\s{0,4},\s{0,4}[\"']")
_LETTER, _DIGIT_OR_SIGN = re.compile(rb"[A-Za-z]"), re.compile(rb"[0-9!@#$%^&*?+~]")
_XML_VALUE = re.compile(rb"[^<>\s]{4,200}")
_ATTRIBUTE = re.compile(
    rb"(?P<name>[\w:.\-]{2,60})[\"'][ \t]+(?:value|content|default)=(?P<quote>[\"'])\Z"
)
_PAIR = re.compile(
    rb"[\"'](?P<name>[\w.\-]{2,60})\\?[\"']\s{0,4},\s{0,40}\\?[\"']value\\?[\"']\s{0,4}[:=]\s{0,4}(?P<quote>\\?[\"'])\Z"
)
_KEY_TYPE = re.compile(rb"[\"']kty\\?[\"']\s{0,4}:")
_WEB_VALUE = re.compile(rb"[A-Za-z0-9_-]{20,2048}={0,2}(?=\\?[\"'])")
_PLIST = re.compile(rb"(?P<name>[\w:.\- ]{2,60})[ \t]*</key>\s*<string>\Z")
_HEADER = re.compile(
    rb"(?i)(?P<scheme>bearer|basic|token|digest)[ ]{1,2}(?P<value>[A-Za-z0-9+/=_.~\-]{16,4096})"
)
_AUTHORIZATION = re.compile(rb"(?i)authorization|auth|curl|header|bearer|token")


def check_quoted(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`name = "value"`; the hint ends at the value's first byte."""
    start = hit - 4
    before = bytes(view[max(low, start - _WINDOW) : start])
    left = _left(before[before.rfind(b"\n") + 1 :])
    if left is None or (not left.sep and not _may_stand_alone(left)):
        return None
    window = bytes(view[start : min(high, start + _QUOTED_LONGEST)])
    end = _closing(window, left.quote)
    if end <= 0:
        return None
    value = window[:end]
    if not _is_assignment(left, window[end + len(left.quote) : end + len(left.quote) + 8]):
        return None
    if left.prefix[-1:].lower() == b"f" and b"{" in value:
        return None
    around = before[-80:] + window[end : end + 60]
    judged = judge(left.name, value, around, is_bare=False)
    return judged and Secret(start, start + end, *judged)


class Left(NamedTuple):
    """What stands to the left of a quoted value: `head name close sep prefix quote`."""

    head: bytes
    name: bytes
    close: bytes
    sep: bytes
    prefix: bytes
    quote: bytes


def _left(line: bytes) -> Left | None:
    backwards = line[::-1]
    match = _LEFT.match(backwards)
    if match is None:
        return None
    named = match
    if match["sep"].endswith(b"=") and not _is_telling(match["name"][::-1]):
        named = _TYPE.match(backwards, match.end("sep")) or match  # `password: str = "..."`
    name = named["name"][::-1].lstrip(b"-$@./")
    head = line[: len(line) - named.end("name")] + named["name"][::-1][: -len(name) or None]
    close, sep = named["close"][::-1], match["sep"][::-1]
    return (
        Left(head, name, close, sep, match["prefix"][::-1], match["quote"][::-1]) if name else None
    )


def _is_telling(name: bytes) -> bool:
    return _PASSWORD_NAME.search(name) is not None or _KEY_NAME.search(name) is not None


def _is_assignment(left: Left, behind: bytes) -> bool:
    """No list of strings, no call of something else, no quotation in prose."""
    if left.quote.startswith(b"`"):
        return bool(left.sep) and not left.sep.startswith(b",") and left.name.lower() != b"pass"
    if left.sep.startswith(
        b","
    ):  # f("password", "value"): the first argument, and none but a default behind
        head = left.head.rstrip(b"\"'\\").rstrip()
        is_first = left.close[-1:] in (b'"', b"'") and head.endswith(b"(")
        is_call = re.search(rb"[A-Za-z0-9_][ \t]*\(\Z", head) is not None  # else a row of a table
        return is_first and behind.lstrip()[:1] in ((b")", b",") if is_call else (b")",))
    if b"(" in left.sep:  # setPassword("value"), password("value"); not password.encode("utf-8")
        called = left.name.rpartition(b".")[2]
        if called.lower().endswith(b"pass") and not _PASS_OF_CALL.search(called):
            return False
        return _is_telling(called) and not _SECOND.match(behind)  # set_password("user", "value")
    return True


def _may_stand_alone(left: Left) -> bool:
    """`IDENTIFIED BY 'x'`, `--password "x"`, `password "x"` of Ruby and HCL: not a name in prose."""
    if left.name.lower() == b"pass" or left.quote.startswith(b"`"):
        return False
    head = left.head
    return (
        not head.strip()
        or head.endswith(b"--")
        or head.rstrip().lower().endswith((b"with", b"user"))
    )


def _closing(window: bytes, quote: bytes) -> int:
    """Where the quoted text ends on its line, or -1."""
    mark = quote[-1:] if not quote.startswith(b"\\") else quote
    i = 0
    while True:
        i = window.find(mark, i)
        if i < 0:
            return -1
        slashes = 0
        while len(mark) == 1 and slashes < i and window[i - 1 - slashes] == 92:
            slashes += 1
        if slashes % 2 == 0:
            break
        i += 1
    return i if b"\n" not in window[:i] else -1


def check_bare(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`NAME=value` at a line's start, `--name value`, `?name=value&`, `Server=..;Pwd=value;`."""
    start = hit - 4
    before = bytes(view[max(low, start - 260) : start])
    line = before[before.rfind(b"\n") + 1 :]
    left = _BARE_LEFT.fullmatch(line)
    if left is None:
        return None
    tail = bytes(view[start : min(high, start + 300)])
    found = _BARE_VALUE.match(tail)
    if found is None:
        return None
    value, lead, sep = found[0], left["lead"], left["sep"]
    name = left["name"].lstrip(b"-$@.")
    is_space = sep in (b" ", b"\t")
    is_strict = True
    if _QUERY.search(lead) and sep == b"=" and not left["gap"]:
        value = re.split(rb"[&#;,)\]]|\\", value)[0]
        if len(value) < 16:
            return None  # of a badge or a picture
    elif _OPTION.match(
        lead + left["name"][: len(left["name"]) - len(left["name"].lstrip(b"-"))]
    ) and (is_space or sep == b"="):
        value = value.rstrip(b",;)")
    elif not is_space and _LINE_START.fullmatch(lead):
        value = (
            value.rstrip(b";")
            if not left["close"] and left["space"] == left["gap"] == b""
            else value
        )
        rest = tail[found.end() :]
        value = re.split(rb"&\w+=", value)[0]
        is_alone = _LINE_END.match(rest) is not None
        if not is_alone or left["close"]:
            return None
        if sep == b":" and not left["gap"] and not left["space"]:
            return None
        is_strict = sep != b":" and bool(left["space"])
    elif sep == b"=" and (lead.endswith(b";") or _CONNECTION.search(lead[-220:])):
        value = re.split(rb"[;,&]", value)[0]
        is_strict = False
    else:
        return None
    if _CODE.search(value) or value.endswith((b",", b":")) or not value:
        return None
    judged = judge(name, value, line[-80:] + tail[found.end() :][:60], is_bare=True)
    if judged is None or (is_strict and not _is_strong(value)):
        return None
    return Secret(start, start + len(value), *judged)


def _is_strong(value: bytes) -> bool:
    """A bare value that could hardly be a name or an expression."""
    has_letter = _LETTER.search(value) is not None
    has_mark = _DIGIT_OR_SIGN.search(value) is not None
    return (has_letter and has_mark and not is_worded(value)) or (
        len(value) >= 8 and is_gibberish(value) and bits_a_letter(value) > 5.5
    )


def check_element(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`<password>value</password>`, `<string name="api_key">value</string>`."""
    return next(filter(None, (_check_markup(view, low, high, hit - 4, f) for f in _ELEMENTS)), None)


def check_attribute(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`<add key="password" value="...">`."""
    return _check_named(view, low, high, hit - 1, _ATTRIBUTE)


def check_pair(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`{"name": "DB_PASSWORD", "value": "..."}`, as of a container's environment or a recorded request."""
    return _check_named(view, low, high, hit - 4, _PAIR)


def _check_named(
    view: memoryview, low: int, high: int, start: int, form: re.Pattern[bytes]
) -> Secret | None:
    """The quoted value at `start`, whose name and quote `form` finds before it."""
    before = bytes(view[max(low, start - _WINDOW) : start])
    left = form.search(before)
    window = bytes(view[start : min(high, start + _QUOTED_LONGEST)])
    end = _closing(window, left["quote"]) if left else -1
    if left is None or end <= 0:
        return None
    judged = judge(left["name"], window[:end], before[-80:], is_bare=False)
    return judged and Secret(start, start + end, *judged)


def check_web_key(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """The private part of a JSON Web Key: `"d"` of a pair, `"k"` of a shared key.

    Source: RFC 7518, section 6.
    """
    start = hit - 20
    value = _WEB_VALUE.match(bytes(view[start : min(high, start + _QUOTED_LONGEST + 4)]))
    near = bytes(view[max(low, start - 1500) : min(high, start + 1500)])
    if value is None or not _KEY_TYPE.search(near) or is_placeholder(value[0]):
        return None
    return Secret(start, start + len(value[0]), KEY, "web_key", 0.9)


def check_plist(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`<key>API_KEY</key><string>value</string>`."""
    return _check_markup(view, low, high, hit - 1, _PLIST)


def _check_markup(
    view: memoryview, low: int, high: int, start: int, form: re.Pattern[bytes]
) -> Secret | None:
    tail = bytes(view[start : min(high, start + 260)])
    found = _XML_VALUE.match(tail)
    if found is None:
        return None
    value = found[0]
    rest = tail[found.end() :].lstrip()
    if not rest.startswith((b"</", b"<!", b"]]>")):
        return None
    before = bytes(view[max(low, start - _WINDOW) : start])
    left = form.search(before)
    if left is None:
        return None
    value = value.removesuffix(b"]]>")
    judged = judge(left["name"], value, before[-80:], is_bare=False)
    is_short = judged is None or (not _is_strong(value) and judged[0] == KEY)
    return None if is_short or judged is None else Secret(start, start + len(value), *judged)


def check_url(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """The password of `scheme://user:password@host`."""
    begin = max(low, hit - 310)
    window = bytes(view[begin : min(high, hit + 100)])
    for match in _URL.finditer(window):
        if match.start("host") < hit - begin <= match.end("host"):
            break
    else:
        return None
    value, user = match["pass"], match["user"]
    is_none = (
        user.lower() in (b"anonymous", b"ftp")
        or is_template(value)
        or is_template(user)
        or is_placeholder(value)
        or _NUMBER.fullmatch(value)
        or _CONSTANT.fullmatch(value)
    )
    is_code = (
        _CODE.search(value) is not None or b"," in value or (value == user and is_worded(value))
    )
    is_sample = (
        match["host"]
        .lower()
        .rstrip(b".")
        .endswith((b"example.com", b"example.org", b"example.net"))
    )
    if is_none or is_code or len(value) < 3 or value.startswith((b"$", b"%", b"{")) or is_sample:
        return None
    if value.lower() in words() and (user.lower() in words() or not user):
        return None
    return Secret(
        begin + match.start("pass"), begin + match.end("pass"), PASSWORD, "url_password", 0.9
    )


def user_of_url(view: memoryview, low: int, password: Secret) -> Secret | None:
    """The name before a URL's password, where it is not a role (`root`, `postgres`, `user`)."""
    begin = max(low, password.start - 110)
    before = bytes(view[begin : password.start - 1])
    user = before.rpartition(b"//")[2]
    is_role = user.lower() in words() or is_placeholder(user) or is_template(user) or len(user) < 3
    if is_role or not re.fullmatch(rb"[A-Za-z0-9_.%@+-]+", user) or b"/" in user:
        return None
    end = password.start - 1
    return Secret(end - len(user), end, USERNAME, "url_user", 0.8)


def check_header(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """`Authorization: Bearer ...`, `Basic ...` that decodes to user and password."""
    begin = max(low, hit - 26)
    window = bytes(view[begin : min(high, hit + 4096)])
    for match in _HEADER.finditer(window):
        if match.start("value") < hit - begin <= match.end("value"):
            break
    else:
        return None
    value = match["value"]
    near = bytes(view[max(low, begin + match.start() - 60) : begin + match.start()])
    if not _AUTHORIZATION.search(near) and match["scheme"].lower() != b"bearer":
        return None
    if match["scheme"].lower() == b"basic":
        is_secret = _is_basic(value)
    else:
        value = value.rstrip(b".")
        is_secret = is_random(value) and not is_placeholder(value) and not is_template(value)
    if not is_secret:
        return None
    start = begin + match.start("value")
    return Secret(start, start + len(value), KEY, "authorization_header", 0.85)


def check_shell_user(view: memoryview, low: int, high: int, hit: int) -> Secret | None:
    """The password of `curl -u user:password`."""
    start = hit - 3
    before = bytes(view[max(low, start - 60) : start])
    found = re.match(rb"[^\s\"'`$<>{}\\]{3,80}", bytes(view[start : min(high, start + 80)]))
    line = bytes(view[max(low, start - 200) : start]).rpartition(b"\n")[2]
    if not _SHELL_USER.search(before) or found is None or b"curl" not in line + b" ":
        return None
    value = found[0]
    if is_placeholder(value) or is_template(value) or value.lower() in words() or value.isdigit():
        return None
    return Secret(start, start + len(value), PASSWORD, "shell_password", 0.8)


def _is_basic(value: bytes) -> bool:
    try:
        text = base64.b64decode(value, validate=True)
    except ValueError:
        return False
    user, colon, password = text.partition(b":")
    is_text = text.isascii() and text.decode("ascii", "replace").isprintable()
    return bool(colon and user and password) and is_text and not is_placeholder(password)


def judge(name: bytes, value: bytes, around: bytes, is_bare: bool) -> tuple[str, str, float] | None:
    """(kind, rule, score) of what `name` holds, or None: names say what it is, values whether."""
    if not 4 <= len(value) <= _QUOTED_LONGEST or b" " in value or b"\t" in value:
        return None
    if _PASSWORD_NAME.search(name) and not _ends_otherwise(name):
        judged = _judge_password(value, is_bare)
    elif is_random(value):
        judged = _judge_key(name, value, around)
    else:
        judged = _judge_secret(name, value)
    if judged is None or is_template(value) or _RANGE.fullmatch(value) or _DATE.match(value):
        return None
    if _NOT_SECRET_AT_ALL.search(name) or _PATHS.search(value) or _parts(value) <= _parts(name):
        return None
    return judged


def _parts(text: bytes) -> frozenset[bytes]:
    return frozenset(part.lower() for part in _PART.findall(text))


def _provider(name: bytes, value: bytes) -> str | None:
    """The rule of the provider whose name and form of key these are."""
    if not _any_context().search(name):
        return None
    for rule, expression, form in _contexts():
        if expression.search(name) and form.fullmatch(value):
            return f"{rule}_key" if is_random(value) and not _is_marked(value) else None
    return None


def _ends_otherwise(name: bytes) -> bool:
    """`password_field`, `passwordLabel`: the name of something about a password."""
    last = re.split(rb"[_.\-]|(?<=[a-z0-9])(?=[A-Z])", name)
    is_other = _NOT_SECRET.fullmatch(last[-1]) if last else None
    return is_other is not None


def _is_marked(value: bytes) -> bool:
    return is_placeholder(value) and (
        len(value) < 20 or is_regular(value) or b"example" in value.lower()
    )


def _judge_password(value: bytes, is_bare: bool) -> tuple[str, str, float] | None:
    if (
        is_placeholder(value)
        or _CONSTANT.fullmatch(value)
        or _MAIL.match(value)
        or _HASHED.match(value)
    ):
        return None
    if NOT_PASSWORD.fullmatch(value):
        return None
    plain = _FOREIGN.sub(b"", value)
    if plain != value and not re.search(rb"[0-9]", plain):
        return None  # what a field is called in another language
    is_letters = value.isalpha()
    lower = value.lower()
    if _NUMBER.fullmatch(value):
        is_taken = len(value) >= 6 and not is_bare and not is_regular(value)
        return (PASSWORD, "password", 0.7) if is_taken else None
    if is_letters:
        if len(value) < 5 or lower in words() or is_worded(value):
            return None
        is_odd = bits_a_letter(value) >= (5.0 if is_bare else 4.6)
        return (PASSWORD, "password", 0.7) if is_odd else None
    if re.fullmatch(rb"[A-Za-z]+(?:[_.\-/:][A-Za-z]+)+", value):  # words with signs between them
        return (PASSWORD, "password", 0.6) if not is_worded(value) and is_gibberish(value) else None
    if re.search(rb"[(){}\[\]<>]", value) and re.search(rb"\w\(|\]\.|\)\.", value):
        return None
    if len(re.findall(rb"[A-Za-z0-9]", value)) < 3 or b"," in value:
        return None
    return PASSWORD, "password", 0.8


def _judge_key(name: bytes, value: bytes, around: bytes) -> tuple[str, str, float] | None:
    provider = _provider(name, value)
    if provider:
        return KEY, provider, 0.9
    if not (_KEY_NAME.search(name) or name.lower().endswith(b"key")):
        return None
    short = name.lower().rpartition(b".")[2]
    is_id = short.endswith((b"_id", b"-id"))
    if _ends_otherwise(name) and not is_id:
        return None
    is_weak = is_id or short in _WEAK_NAMES or not _SECRET_NAME.search(name)
    if (
        len(value) < (20 if is_weak else 8)
        or not _KEY_VALUE.fullmatch(value)
        or _CODE.search(value)
    ):
        return None
    if is_weak and (value.isdigit() or is_uuid(value)):
        return None
    is_hash = _HASH.fullmatch(value) and _HASH_NEAR.search(around)
    if (is_hash and (is_weak or not _SECRET_NAME.search(name))) or _MAIL.match(value):
        return None
    if is_placeholder(value) and (len(value) < 24 or is_regular(value)):
        return None
    if len(value) < 12 and not (is_gibberish(value) or entropy(value) >= 2.9):
        return None
    return KEY, "secret", 0.75


def _judge_secret(name: bytes, value: bytes) -> tuple[str, str, float] | None:
    """A word with digits and signs in it is a secret only where the name says so."""
    if not _TOLD_SECRET.search(name) or len(value) < 8 or _ends_otherwise(name):
        return None
    has_kinds = re.search(rb"[0-9]", value) and re.search(rb"[!@#$%^&*?~]", value)
    is_text = not has_kinds or is_worded(value) or is_placeholder(value) or _CODE.search(value)
    return None if is_text or not _KEY_VALUE.fullmatch(value) else (KEY, "secret", 0.6)


def context_rules() -> list[str]:
    """Names of the rows of key_contexts.tsv."""
    return [rule for rule, _, _ in _contexts()]


@functools.cache
def _any_context() -> re.Pattern[bytes]:
    return re.compile(b"|".join(expression.pattern for _, expression, _ in _contexts()), re.I)


@functools.cache
def _contexts() -> tuple[tuple[str, re.Pattern[bytes], re.Pattern[bytes]], ...]:
    """key_contexts.tsv: rule, expression of a name, form of a value."""
    table = importlib.resources.files("etl.data").joinpath("key_contexts.tsv")
    lines = table.read_text("ascii").splitlines()
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    return tuple(
        (row["rule"], re.compile(row["name"].encode(), re.I), re.compile(row["form"].encode()))
        for row in rows
    )
