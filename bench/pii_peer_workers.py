"""One peer's findings in many texts, as the peer itself would find them by its own settings.

    VENV/bin/python pii_peer_workers.py PEER texts.jsonl predictions.jsonl [gibberish.model]

Runs in the peer's own environment, so it imports nothing of ours. A text is {"file", "path", "text"}; a
prediction is {"file", "kind", "start", "end", "detector"} in bytes of the UTF-8 text. The last line
written to stdout is {"seconds", "bytes", "failed"}: CPU seconds inside the peer, and texts it raised on.
What a peer says of a line is placed on the value in that line; a private key's head, on its whole block.
"""

from __future__ import annotations

import ipaddress
import json
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

Finding = tuple[str, int, int, str]  # kind, start, end in characters, detector
Finder = Callable[[str, str], Iterator[Finding]]

KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY.*?-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----", re.S
)
SECRET_KINDS = {  # detect-secrets' types that are no key
    "Secret Keyword": "PASSWORD",
    "Basic Auth Credentials": "PASSWORD",
    "Public IP (ipv4)": "IP_ADDRESS",
}


def _of_secret(text: str, starts: list[int], kind: str, line: int, value: str) -> Iterator[Finding]:
    """Each place of a secret's value in the line where detect-secrets saw it."""
    first = starts[line - 1]
    last = starts[line] if line < len(starts) else len(text)
    if kind == "Private Key":
        block = KEY_BLOCK.search(text, max(0, first - 5))
        if block is not None and block.start() < last:
            yield "KEY", block.start(), block.end(), kind
            return
    at = text.find(value, first, last)
    while at >= 0:
        yield SECRET_KINDS.get(kind, "KEY"), at, at + len(value), kind
        at = text.find(value, at + len(value), last)


def _starts(text: str) -> list[int]:
    return [0] + [found.end() for found in re.finditer(r"\r\n|\r|\n", text)]


def _scan_file(text: str, suffix: str) -> Iterator[Finding]:
    from detect_secrets import SecretsCollection

    secrets = SecretsCollection()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"text{suffix}")
        path.write_text(text, "utf-8", newline="")
        secrets.scan_file(str(path))
    starts = _starts(text)
    for _, secret in secrets:
        if secret.secret_value:
            yield from _of_secret(
                text, starts, secret.type, secret.line_number, secret.secret_value
            )


def detect_secrets_default() -> Finder:
    """detect-secrets as its library is called: all plugins and heuristic filters, no verification."""
    from detect_secrets.settings import default_settings

    def find(text: str, path: str) -> Iterator[Finding]:
        with default_settings():
            yield from _scan_file(text, Path(path).suffix)

    return find


# Source of this configuration: bigcode-project/bigcode-dataset, pii/utils/keys_detection.py and
# emails_ip_addresses_detection.py (Apache-2.0), as published for the first Stack and SantaCoder.
BIGCODE_PLUGINS = [
    "ArtifactoryDetector",
    "AWSKeyDetector",
    "Base64HighEntropyString",
    "HexHighEntropyString",
    "AzureStorageKeyDetector",
    "CloudantDetector",
    "DiscordBotTokenDetector",
    "GitHubTokenDetector",
    "IbmCloudIamDetector",
    "IbmCosHmacDetector",
    "JwtTokenDetector",
    "MailchimpDetector",
    "NpmDetector",
    "SendGridDetector",
    "SlackDetector",
    "SoftlayerDetector",
    "StripeDetector",
    "TwilioKeyDetector",
]
BIGCODE_FILTERS = (
    "is_potential_uuid",
    "is_likely_id_string",
    "is_templated_secret",
    "is_sequential_string",
)
BIGCODE_EMAIL = r"""
    (?<= ^ | [[({<\b\s@,?!;'"\p{Han}¿¡:.] | \\['"] )
    ( (?: [^][(){}<>\b\s@,?!;'":#/\\=.\-] | (?: [=.\-] (?! [.@]) ) )+
      @
      (?: (?: \w | [^.\b\s@?!;,/()>\-:] [^.\b\s@?!;,/()>]{0,62} [^.\b\s@?!;,/()>\-:'"] ) \. ){1,10}
      (?: [\p{L}\p{M}]{2,63} | xn-- \w+ ) )
    (?= $ | [])}>\b\s@,?!;'"\p{Han}] | \\['"] | : (?! \d) | \. (?! \S))
"""
_V4 = r"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)(?:\.(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)){3}"
_H = "[0-9a-fA-F]{1,4}"
_V4_TAIL = r"(?:(?:25[0-5]|(?:2[0-4]|1{0,1}[0-9]){0,1}[0-9])\.){3,3}(?:25[0-5]|(?:2[0-4]|1{0,1}[0-9]){0,1}[0-9])"
_V6 = "|".join(
    [rf"(?:{_H}:){{7,7}}{_H}", rf"(?:{_H}:){{1,7}}:", rf"(?:{_H}:){{1,6}}:{_H}"]
    + [rf"(?:{_H}:){{1,{6 - n}}}(?::{_H}){{1,{n + 1}}}" for n in range(1, 5)]
    + [
        rf"{_H}:(?:(?::{_H}){{1,6}})", rf":(?:(?::{_H}){{1,7}}|:)",
        r"fe80:(?::[0-9a-fA-F]{0,4}){0,4}%[0-9a-zA-Z]{1,}",
        rf"::(?:ffff(?::0{{1,4}}){{0,1}}:){{0,1}}{_V4_TAIL}", rf"(?:{_H}:){{1,4}}:{_V4_TAIL}",
    ]
)  # fmt: skip
BIGCODE_IP = rf"(?:^|[\b\s@?,!;:\'\")(.\p{{Han}}])({_V4}|{_V6})(?:$|[\s@,?!;:'\"(.\p{{Han}}])"
BIGCODE_DATES = (
    r"([1-2][0-9]{3}[\p{Pd}/][1-2][0-9]{3})",
    r"([1-2][0-9]{3}[\p{Pd}/.][0-3][0-9][\p{Pd}/.][0-3][0-9])",
    r"([0-3][0-9][\p{Pd}/.][0-3][0-9][\p{Pd}/.](?:[0-9]{2}|[1-2][0-9]{3}))",
    r"([0-3][0-9][\p{Pd}/](?:[0-9]{2}|[1-2][0-9]{3}))",
    r"([1-2][0-9]{3}-[0-3][0-9])",
)


def bigcode() -> Finder:
    """BigCode's regexes for e-mail and IP, and detect-secrets with its plugins, gibberish and hash filters.

    The gibberish model is their `big.model` if one is given, else the one that detect-secrets ships.
    """
    import detect_secrets
    import regex
    from detect_secrets.settings import transient_settings
    from gibberish_detector import detector

    email = regex.compile(BIGCODE_EMAIL, flags=regex.MULTILINE | regex.VERBOSE)
    address = regex.compile(BIGCODE_IP, flags=regex.MULTILINE)
    before, after = r"(?:^|[\b\s@?,!;:\'\")(.\p{Han}])", r"(?:$|[\s@,?!;:\'\"(.\p{Han}])"
    dates = [regex.compile(before + one + after) for one in BIGCODE_DATES]
    model = (
        sys.argv[4]
        if len(sys.argv) > 4
        else str(Path(detect_secrets.__file__).parent / "filters/gibberish/rfc.model")
    )
    gibberish = detector.create_from_model(model)
    settings = {
        "plugins_used": [{"name": name} for name in BIGCODE_PLUGINS],
        "filters_used": [
            {"path": f"detect_secrets.filters.heuristic.{name}"} for name in BIGCODE_FILTERS
        ],
    }

    def is_version(value: str, context: str) -> bool:
        if value.count(".") != 3 or len(value) != 7:
            return False
        return not ("dns" in context.lower() or "server" in context.lower())

    def is_hash(text: str, value: str) -> bool:
        lines = text[: text.index(value)].splitlines()
        near = lines[-1].lower() if lines else ""
        return len(value) in (32, 40, 64) and any(
            word in near for word in ("sha", "md5", "hash", "byte")
        )

    def has_hashes(text: str) -> bool:
        most, sha, hash_ = int(0.02 * text.count("\n")), 0, 0
        for line in text.lower().splitlines():
            sha += line.count("sha")
            hash_ += line.count("hash")
            if sha > most or hash_ > most:
                return True
        return False

    def find(text: str, path: str) -> Iterator[Finding]:
        for found in email.finditer(text):
            yield "EMAIL", *found.span(1), "regex"
        for found in address.finditer(text):
            value, (start, end) = found.group(1), found.span(1)
            if not any(map(str.isdigit, value)) or any(date.match(value) for date in dates):
                continue
            try:
                ipaddress.ip_address(value)
            except ValueError:
                continue
            if not is_version(value, text[start - 100 : end + 100]):
                yield "IP_ADDRESS", start, end, "regex"
        hashes: bool | None = None
        with transient_settings(settings):
            secrets = {
                (*found[3:], text[found[1] : found[2]]) for found in _scan_file(text, ".txt")
            }
        for kind, value in sorted(secrets):
            if not gibberish.is_gibberish(value.lower()) or is_hash(text, value):
                continue
            hashes = has_hashes(text) if hashes is None else hashes
            if hashes:
                continue
            for found in re.finditer(re.escape(value), text):
                yield "KEY", *found.span(), kind

    return find


def datatrove() -> Finder:
    """datatrove's PIIFormatter by default: e-mails, then public IPv4 addresses."""
    from datatrove.pipeline.formatters import PIIFormatter

    formatter = PIIFormatter()

    def find(text: str, path: str) -> Iterator[Finding]:
        emails = [found.span() for found in formatter.emails_replacer.regex.finditer(text)]
        for start, end in emails:
            yield "EMAIL", start, end, "regex"
        valid = formatter.ip_replacer.validator
        for found in formatter.ip_replacer.regex.finditer(text):
            inside = any(start < found.end() and found.start() < end for start, end in emails)
            if not inside and (valid is None or valid(found.group())):
                yield "IP_ADDRESS", *found.span(), "regex"

    return find


def dolma() -> Finder:
    """dolma's taggers `pii_regex_with_counts_fast_v2` and `code_secrets_v1`; telephone numbers left out."""
    from dolma.core.data_types import Document
    from dolma.taggers.code import CodeSecretsTagger
    from dolma.taggers.pii import FastPiiRegex

    patterns, secrets = FastPiiRegex(), CodeSecretsTagger()
    kinds = {"EMAIL_ADDRESS": "EMAIL", "IP_ADDRESS": "IP_ADDRESS"}

    def find(text: str, path: str) -> Iterator[Finding]:
        document = Document(source="", id="", text=text)
        for span in patterns.predict(document).spans:
            if span.type in kinds:
                yield kinds[span.type], span.start, span.end, "regex"
        starts = _starts(text)
        for span in secrets._extract_code_secrets(text):
            kind = span.type.removeprefix("SECRET_").replace("_", " ")
            line = text.count("\n", 0, span.start) + 1
            if len(starts) > text.count("\n") + 1 or kind != "Private Key":
                yield SECRET_KINDS.get(kind, "KEY"), span.start, span.end, kind
            else:
                yield from _of_secret(text, starts, kind, line, text[span.start : span.end])

    return find


def data_juicer() -> Finder:
    """Data-Juicer's PiiRedactionMapper by default, in its order; kinds that we have no name for left out."""
    from data_juicer.ops.mapper.pii_redaction_mapper import _compile_patterns

    patterns = _compile_patterns()
    order = (  # name, kind, whether the first group is kept
        ("pem_block", "KEY", False), ("jwt", "KEY", False), ("ipv4", "IP_ADDRESS", False),
        ("ipv6", "IP_ADDRESS", False), ("mac", "", False), ("path_unix", "", True),
        ("path_win", "", True), ("path_win_unc", "", True), ("email", "EMAIL", False),
        ("secret_kv", "PASSWORD", True),
    )  # fmt: skip

    def find(text: str, path: str) -> Iterator[Finding]:
        taken: list[tuple[int, int]] = []
        for name, kind, keeps in order:
            spans = []
            for found in patterns[name].finditer(text):
                start, end = found.end(1) if keeps else found.start(), found.end()
                if not any(a < end and start < b for a, b in taken):
                    spans.append((start, end))
                    if kind:
                        yield kind, start, end, name
            taken += spans

    return find


PEERS = {
    "detect-secrets": detect_secrets_default,
    "bigcode": bigcode,
    "datatrove": datatrove,
    "dolma": dolma,
    "data-juicer": data_juicer,
}


def main() -> None:
    find = PEERS[sys.argv[1]]()
    texts = [json.loads(line) for line in Path(sys.argv[2]).read_text("utf-8").split("\n") if line]
    seconds, num_bytes, failed = 0.0, 0, 0
    with Path(sys.argv[3]).open("w", encoding="utf-8") as out:
        for row in texts:
            text = row["text"]
            num_bytes += len(text.encode())
            began = time.process_time()
            findings: list[Finding] = []
            try:
                findings.extend(find(text, row["path"]))
            except (AssertionError, ValueError, IndexError):
                failed += 1
            seconds += time.process_time() - began
            for kind, start, end, detector in findings:
                first = len(text[:start].encode())
                last = first + len(text[start:end].encode())
                found = {
                    "file": row["file"],
                    "kind": kind,
                    "start": first,
                    "end": last,
                    "detector": detector,
                }
                out.write(json.dumps(found) + "\n")
    sys.stdout.write(
        "\n" + json.dumps({"seconds": seconds, "bytes": num_bytes, "failed": failed}) + "\n"
    )


if __name__ == "__main__":
    main()
