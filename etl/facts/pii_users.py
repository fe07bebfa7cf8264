"""Which words are somebody's login?    a hit in a row -> user names

Taken where only a person's handle stands: behind the `@` of a credit, in `TODO(...)`, in the path of a home
directory, as the last part of a profile's address, before the host of ssh, in an author's tag, in the keyword of a
version control system. Roles (`root`, `ubuntu`), common words and placeholders are nobody.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from etl.facts.pii_names import is_somebody_named, is_username
from etl.facts.pii_text import is_placeholder, is_template

MENTION, TODO, HOME, PROFILE, SSH, AUTHOR_LOGIN, REVISION, BESIDE_NAME, HOME_PAGE = (
    "mention", "todo_owner", "home_directory", "profile", "ssh_login", "author_login", "revision_login",
    "login_beside_name", "home_page",
)  # fmt: skip
RULES = (MENTION, TODO, HOME, PROFILE, SSH, AUTHOR_LOGIN, REVISION, BESIDE_NAME, HOME_PAGE)


class User(NamedTuple):
    """Bytes [start, end) of the buffer, stated in this way; where unsure, not looked for elsewhere."""

    start: int
    end: int
    rule: str
    is_sure: bool = True


MENTION_HINT = (
    rb"(?:[(\[,]|[\w,.)\]:&+][ \t]|\b(?:by|to)[ \t]{0,2}\r?\n[ \t]{0,8})"
    rb"@[A-Za-z0-9][A-Za-z0-9_-]"
)
TODO_HINT = rb"(?:TODO|FIXME|XXX|HACK|BUG|NOTE|todo|fixme)\([A-Za-z@]"
HOME_HINT = rb"(?:/home/|/Users/|:\\{1,2}(?:Users|users|Documents and Settings)\\{1,2})[A-Za-z_]"
PROFILE_HINT = (
    rb"(?:[/.(\"' ](?:(?:github|gitlab|twitter|instagram|dribbble)\.com|bitbucket\.org|keybase\.io|codepen\.io"
    rb"|mastodon\.social|codeberg\.org|about\.me)/|stackoverflow\.com/users/[0-9]{1,9}/"
    rb"|linkedin\.com/in/|reddit\.com/u(?:ser)?/|pypi\.org/user/|medium\.com/@|dev\.to/|launchpad\.net/~|npmjs\.com/~|sr\.ht/~"
    rb"|people\.[a-z]{2,20}\.(?:org|com|net)/~)[A-Za-z0-9@~]"
)
HOME_PAGE_HINT = rb"/~[A-Za-z]|\bgist\.github\.com/[A-Za-z0-9]"
REVISION_HINT = rb"\$(?:Id|Header|FreeBSD|NetBSD|OpenBSD): [^$\n]{8,160}\$|\$(?:Author|LastChangedBy): [^$\n]{2,40}\$"
SSH_HINT = rb"\b(?:ssh|scp|sftp|rsync|mosh) [^\n@]{0,60}[A-Za-z0-9_]@[A-Za-z0-9]"
AUTHOR_LOGIN_HINT = (
    rb"(?:@author|__author__|\b[Aa]uthor[\"']?[ ]?[:=]|\b(?:[Mm]aintainer|[Aa]uthor)-email:|\b[Mm]aintainer:)"
    rb"(?:[ \t\"'=]{1,12}[a-z]|[ \t\"'=]{1,12}@[A-Za-z0-9])"
)

_HANDLE = re.compile(rb"[A-Za-z0-9](?:[A-Za-z0-9]|[-_](?=[A-Za-z0-9])){1,38}")
_LOGIN = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]{1,31}")
_OWNER = re.compile(
    rb"[a-z][a-z0-9-]{1,31}"
)  # of a TODO: classes and options have capitals, underscores
_CREDIT = re.compile(
    rb"(?i)(?:thanks?|thx|thank you|kudos|props|credits?|by|cc|via|from|to|and|patch|fix(?:ed)?|reported|suggested"
    rb"|merged?|authors?|owners?|maintain\w*|contribut\w*|with|h/t|ping|hi|hey|hello|ask|see|review\w*|team|users?|developers?|todo|fixme|xxx|@[\w-]+,|&|\+)"
    rb"[ \t:*_(\[]*\Z"
)
_TAGGED = re.compile(
    rb"(?i)(?:decorat|annotat|mark|tagg|prefix|replac|start|begin|end|wrapp|equivalent)\w* (?:with|by|to)"
    rb"[ \t:*_(\[]*\Z|\[\[\Z|[^\s\[(][(\[]\Z"
)
_FIRM = re.compile(
    rb"(?i)(?:thanks?|thx|kudos|props|credits?|patch|reported|suggested|authors?|contribut\w*|maintain\w*|#\d+|users?|developers?)"
    rb"(?: to| by| from| goes to)?[ \t:*_(\[,]*\Z|\b(?:by|todo|fixme)[ \t:]+\Z"
)
_BRACKET = re.compile(rb"(?:\A|\s)[(\[]\Z")
_NUMBERED = re.compile(rb"(?:#\d+|\d\]|\d\)|[a-z]\))[ \t,:]*[(\[]?\Z")
_BEHIND_MENTION = re.compile(  # a path, a call; `the @scorer decorator`
    rb"[/=({<]|\.[A-Za-z0-9]|@|:[A-Za-z/]|[ \t]{1,2}(?:decorat|annotat|directive|macro\b|pragma|tags?\b)"
)
_BEHIND_PROFILE = re.compile(rb"/?(?:[\s\"'`)>\]},;|*]|\.(?:\s|\Z)|:\s|\\n|&gt;|</|\Z)")
_OF_ANOTHER = re.compile(
    rb"(?i)(?<!//www)(?<!mobile)[A-Za-z0-9-]\.(?:github|gitlab|twitter)\.com/\Z"
)
_BEHIND_HOME_PAGE = re.compile(rb"[/\s\"'`)>\],;|*#]|\.(?:\s|\Z)|\Z")
_BEHIND_GIST = re.compile(rb"/(?:[0-9a-f]{20,40}|[0-9]{4,9})\b")
_BEFORE_HOME_PAGE = re.compile(  # hosts of projects have `~owner/project`
    rb"//(?!(?:www\.|code\.|git\.|answers\.|bugs\.)?(?:launchpad\.net|sr\.ht|npmjs\.com))[A-Za-z0-9.-]{4,60}(?::[0-9]{2,5})?"
    rb"/(?:[A-Za-z]{1,12}/)?~\Z"
)
_TICKET = re.compile(rb"(?i)(?:gh|bug|issue|b|pr|bpo|ticket|jira|v|py|rfc|pep)[-_#]?\d+|\d+")
_DEFINED = re.compile(rb"\b(?:def|function|fn|func|class) \w+\(\Z")
_BARE_VALUE = re.compile(rb"[Aa]uthor[\"'] ?: ?\Z")  # `'author': name`
_OF_USERS = re.compile(rb"(?i)\b(?:thanks|thx|kudos|credits?|users?|twitter)(?: to)?[ :]{0,2}\Z")
_REVISION = re.compile(  # `$Id: a.c,v 1.2 2003/04/05 12:13:14 jane7 Exp $`, `$Author: jane7 $`
    rb"(?:[0-9]:[0-9]{2}Z?|\$(?:Author|LastChangedBy):)[ \t]+(?P<login>[A-Za-z][A-Za-z0-9_.-]{1,31})[ \t]+"
    rb"(?:(?:Exp|Rel|Stab)[ \t]+)?\$\Z"
)
_BESIDE = re.compile(
    rb"[ ]{1,2}(?:\((?:aka |a\.k\.a\. )?@?(?P<round>[A-Za-z0-9][A-Za-z0-9_-]{2,31})\)"
    rb"|<@?(?P<angle>[A-Za-z0-9][A-Za-z0-9_-]{2,31})>)"
)
_OF_AUTHOR = re.compile(rb"(?i)\bauthors?\b[ \t:\"'=]+[^@(\n]{3,70}[ \t]\Z")
_ABOVE_HOME = (b"/usr", b"/export", b"/net")
_ACCOUNT = re.compile(rb"@[A-Za-z0-9][A-Za-z0-9-]{1,38}")
_OWN = re.compile(rb"(?i)(?:my|your|some|the)[-_]|mylogin|myname")
_ROLES = frozenset(
    b"octocat user username users root admin ubuntu debian vagrant travis runner runneradmin circleci jovyan me you"
    b" foo bar docker app public shared default ec2-user centos git www www-data jenkins build linuxbrew test"
    b" tester guest dependabot dependabot-preview renovate renovate-bot pre-commit-ci github-actions pyup-bot"
    b" meeseeksdev meeseeksmachine allcontributors codecov"
    b" name yourname your_name youruser myuser my_user someone somebody anonymous nobody user1 user2 alice bob"
    b" administrator currentuser all node coder vscode codespace dev developer ci conda anaconda spark hadoop pi gitpod"
    b" appveyor builder worker postgres mysql sponsors orgs topics features about settings login join search share"
    b" intent hashtag explore apps marketplace pulls issues notifications site security enterprise pricing home"
    b" param return returns throws type see since version deprecated override author example link code media"
    b" import charset keyframes font-face property staticmethod classmethod here everyone channel latest next types"
    b" memberof description classdesc addtogroup defgroup ingroup tparam endcond endrst endcode ts-check ts-ignore"
    b" ts-expect-error constructor bubbles chainable fires emits listens mixes mixin enum callback typedef property"
    b" private public protected internal readonly abstract virtual inheritdoc inheritdocs implements extends namespace"
    b" module file fileoverview overview license copyright preserve suppress brief details note warning todo test-only"
    b" dataclass dataclasses classproperty cached-property overload final contextmanager wraps fixture parametrize"
    b" inlinecallbacks asyncio-coroutine vocab attribute attributes generated reservedassignment undefinedvariable"
    b" httpd gitrepo ansible tomcat jboss nodejs projects otheruser person nginx mysite devuser deploy"
    b" babel angular vue react rollup testing-library typescript-eslint eslint jest emotion mui storybook".split()
)
# What real packages write behind `@` as a decorator or a tag, in eight files or more, and is no word.
_DECORATORS = frozenset(
    b"abstractclassmethod abstractproperty addboth addcallback addcleanup adderrback ajax appender"
    b" assertargspecmatches asynccontextmanager audiences backupdriver basespatialfield batchable boundscheck"
    b" cacheit ccall cclass cdivision celery cinder cpow cvar dbt ddt deco1 deco2 deco3 deconstructible decor"
    b" decorator1 decorator2 deferredlocked deprecatedproperty disablerifnotfound enginefacade errorhandler"
    b" errstate exceptval expectedfailure extsetup featuredeprecated featurenew featurenewkwargs filesetpredicate"
    b" flake8ext freelist guvectorize hookimpl implementer ingress inproceedings interfaceutil interpreterobject"
    b" ivar jitclass jsontags lazyattr lazyproperty learner linetrace linkpath loadfile localrepo lockutils"
    b" loopingcall lun metadata monitors njit noargsflattening nochange nokwargs nonecheck noposargs nova onlylib"
    b" overflowcheck permittedkwargs prop2 propertycache pyunit randomnameresourcegrouppreparer remotable replicas"
    b" returntype revsetpredicate sharedmethod singledispatchmethod singletondecorator skipbefore35"
    b" skipifdbfeature skipifnoexecutable skipifnopkgconfig skipnonenglish skipunless skipunlessdbfeature"
    b" skipunlessplatformis skipwithoutipv6 slugify srid status stringfilter strmethod structref subjects"
    b" subresource taints templatefilter templatekeyword tenacity testme testtools testutils tfds tolerations"
    b" tooslow uisetup unbox uncertainty undoc unfilteredmethod unfilteredpropertycache updatemethod verbs"
    b" volumedriver webob widgettest wireprotov1peer wrapcommand wrapfunction wsgify xthreaded zpublish".split()
)


def check_mention(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`thanks @jane7`, `(#12, @jane7)`, `[@jane7](...)`; no decorator, doc tag, package scope or CSS rule."""
    start = hit - 2
    found = _handle(view, high, start)
    if found is None:
        return []
    before = bytes(view[max(low, start - 81) : start - 1])
    if b"_" in bytes(view[slice(*found)]) and not _OF_USERS.search(before):
        return []  # @type_check_only
    line = before.rpartition(b"\n")[2]
    before = line if line.strip() else before.rstrip().rpartition(b"\n")[2]
    after = bytes(view[found[1] : min(high, found[1] + 24)])
    if before.count(b"`") % 2 or before.count(b'"') % 2 or is_tag(after):
        return []
    handle = bytes(view[slice(*found)]).lower()
    if after[:1] == b")" and after[1:].strip().lower().startswith(handle):
        return []  # custom (@scorer) scorers
    if _TAGGED.search(before):
        return []
    is_linked = before.endswith((b"[", b"(")) and after[:1] in (b"]", b")")
    is_credited = any(sign.search(before) for sign in (_CREDIT, _NUMBERED, _OF_AUTHOR))
    is_credited = is_credited or _ends_in_name(before)
    is_sure = any(sign.search(before) for sign in (_BRACKET, _FIRM, _OF_AUTHOR))
    return [User(*found, MENTION, is_sure)] if is_linked or is_credited else []


def is_tag(after: bytes) -> bool:
    """Whether what stands behind `@word` says that it is a decorator, a path or a call."""
    return _BEHIND_MENTION.match(after) is not None


def _ends_in_name(before: bytes) -> bool:
    """`Jane Doe @jane7`."""
    words = [word.strip(b"(*/#-") for word in before.rstrip(b" ,").split()[-3:]]
    tails = [words[-count:] for count in (2, 3) if len(words) >= count]
    return any(all(tail) and is_somebody_named(b" ".join(tail)) for tail in tails)


def check_todo(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`TODO(jane7)`, and each of `TODO(jane7, @joe9)`."""
    start = hit - 1
    if _DEFINED.search(bytes(view[max(low, start - 20) : start])):
        return []
    inside = bytes(view[start : min(high, start + 80)])
    end = inside.find(b")")
    found: list[User] = []
    position = 0
    for part in inside[: max(end, 0)].split(b","):
        name = part.strip(b" @")
        place = start + inside.index(part, position) + (part.index(name) if name else 0)
        position += len(part) + 1
        is_login = _OWNER.fullmatch(name) and not _TICKET.fullmatch(name)
        if not is_login or not is_somebody(name):
            break
        found.append(User(place, place + len(name), TODO))
    return found


def check_home(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`/home/jane7/...`, `C:\\Users\\jane7\\...`; no part of a URL."""
    start = hit - 1
    match = _LOGIN.match(bytes(view[start : min(high, start + 40)]))
    if match is None:
        return []
    name = match[0].rstrip(b".-")
    before = bytes(view[max(low, start - 40) : start])
    path = max(before.rfind(b"/home/"), before.rfind(b"/Users/"))
    is_file = name.endswith((b".py", b".sh", b".txt", b".log"))
    is_url = path > 0 and not before[:path].endswith(_ABOVE_HOME)
    is_url = is_url and re.search(rb"[A-Za-z0-9_}\])>~$%.]\Z", before[:path]) is not None
    after = bytes(view[start + len(match[0]) : min(high, start + len(match[0]) + 1)])
    is_call = after in (b"(", b"{", b"=", b"<", b"$", b"%", b"*", b"@") or after >= b"\x80"
    return (
        []
        if is_file or is_url or is_call or not is_somebody(name)
        else [User(start, start + len(name), HOME)]
    )


def check_profile(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`https://github.com/jane7` with nothing behind it: no repository."""
    start = hit - 1
    while start < high and view[start] in b"@~":
        start += 1
    text = bytes(view[start : min(high, start + 48)])
    match = _HANDLE.match(text)
    if match is None or not _BEHIND_PROFILE.match(text, match.end()):
        return []  # most are of a repository: told apart before anything dear
    if _OF_ANOTHER.search(bytes(view[max(low, start - 40) : start])):
        return []
    found = _handle(view, high, start)
    return [User(*found, PROFILE)] if found is not None else []


def check_home_page(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`http://www.cs.school.edu/~jane7/code.html`, `https://gist.github.com/jane7/920215`."""
    start = hit - 1
    found = _handle(view, high, start)
    if found is None:
        return []
    before = bytes(view[max(low, start - 90) : start])
    is_gist = not before.endswith(b"~")
    behind = _BEHIND_GIST if is_gist else _BEHIND_HOME_PAGE
    is_one = behind.match(bytes(view[found[1] : min(high, found[1] + 44)])) is not None
    is_home = is_gist or _BEFORE_HOME_PAGE.search(before) is not None
    return [User(*found, HOME_PAGE)] if is_one and is_home else []


def check_ssh(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`ssh jane7@host`."""
    at = hit - 2
    start = at
    while start > low and at - start < 34 and re.match(rb"[\w.-]", bytes(view[start - 1 : start])):
        start -= 1
    name = bytes(view[start:at])
    is_login = _LOGIN.fullmatch(name) and is_somebody(name) and name != b"git"
    return [User(start, at, SSH)] if is_login else []


def check_revision(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """Who checked a file in, by the keyword that CVS or Subversion filled in."""
    begin = max(low, hit - 60)
    match = _REVISION.search(bytes(view[begin:hit]))
    if match is None or not is_somebody(match["login"]):
        return []
    return [User(begin + match.start("login"), begin + match.end("login"), REVISION)]


def beside_name(view: memoryview, high: int, end: int, name: bytes) -> User | None:
    """The login of `Jane Doe (jdoe)`: it is made of parts of the name, or ends in digits."""
    match = _BESIDE.match(bytes(view[end : min(high, end + 60)]))
    if match is None:
        return None
    group = "round" if match["round"] else "angle"
    login = match[group]
    is_mixed = re.search(rb"[a-z]{3}[0-9]+\Z", login) is not None
    if not (is_mixed or is_kin(name, login.lower())) or not is_somebody(login):
        return None
    return User(end + match.start(group), end + match.end(group), BESIDE_NAME)


def is_kin(name: bytes, login: bytes) -> bool:
    """The login has a part of the name in it, or an initial and the last part."""
    parts = [part.strip(b".'").lower() for part in name.split()]
    return any(len(part) >= 4 and part in login for part in parts) or (
        parts[0][:1] + parts[-1] in login
    )


def owners(view: memoryview, low: int, high: int, hit: int) -> list[bytes]:
    """User names on a line of CODEOWNERS, the first of which starts at `hit` - 1: a path and accounts, no more."""
    start = hit - 1
    path = bytes(view[max(low, start - 130) : start]).rpartition(b"\n")[2]
    line = b"@" + bytes(view[start : min(high, start + 300)]).split(b"\n", 1)[0]
    accounts = line.partition(b" #")[0].split()
    if path.startswith((b"//", b"/*", b"**/")) or not all(b"@" in each for each in accounts):
        return []
    return [each[1:] for each in accounts if _ACCOUNT.fullmatch(each) and is_somebody(each[1:])]


def check_author_login(view: memoryview, low: int, high: int, hit: int) -> list[User]:
    """`@author jane7`, alone on the rest of the line or before others, `author: @jane7`."""
    start = hit - 1
    match = _LOGIN.match(bytes(view[start : min(high, start + 40)]))
    if match is None:
        return []
    before = bytes(view[max(low, start - 30) : start])
    if before.endswith(b"@"):
        found = _handle(view, high, start)
        return [User(*found, AUTHOR_LOGIN)] if found is not None else []
    after = bytes(view[start + len(match[0]) : min(high, start + len(match[0]) + 40)])
    rest = after.split(b"\n", 1)[0].strip(b" \t\r\"';,")
    if _BARE_VALUE.search(before):
        return []
    is_alone = rest in (b"", b")") or rest.startswith((b"<", b"(", b"*/", b"-->"))
    is_code = after[:1] in (b"(", b"[") or bytes(view[max(low, start - 8) : start]).rstrip(
        b" \t"
    ).endswith(b"=")
    has_mark = re.search(rb"[0-9_]", match[0]) is not None or len(match[0]) >= 5
    is_one = (
        is_alone and not is_code and has_mark and is_somebody(match[0]) and b"." not in match[0]
    )
    return [User(start, start + len(match[0]), AUTHOR_LOGIN)] if is_one else []


def _handle(view: memoryview, high: int, start: int) -> tuple[int, int] | None:
    match = _HANDLE.match(bytes(view[start : min(high, start + 41)]))
    if match is None or not is_somebody(match[0]):
        return None
    after = bytes(view[start + len(match[0]) : min(high, start + len(match[0]) + 1)])
    return None if after in (b"_", b"$") else (start, start + len(match[0]))


def is_somebody(name: bytes) -> bool:
    """No role, placeholder, template or common word."""
    is_known = any(name.lower() in names for names in (_ROLES, _DECORATORS))
    is_nobody = is_known or _OWN.match(name) or is_placeholder(name) or is_template(name)
    return not is_nobody and is_username(name)
