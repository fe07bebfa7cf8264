"""What does the corpus look like?    figures -> one HTML page, a summary for the terminal

The page is self-contained: no script, no request, one file. Every number on it is in `ReportData`;
paths and names come from strangers' repositories and are escaped.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import jinja2


@dataclass(frozen=True)
class Share:
    """One bar: how much of it came in and how much was kept."""

    name: str
    files: int
    num_bytes: int = 0
    kept_files: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True)
class Step:
    """One step of the funnel: what a rule, as the first that failed, took away."""

    reason: str
    files: int
    num_bytes: int


@dataclass(frozen=True)
class Bin:
    label: str
    files: int
    kept_files: int


@dataclass(frozen=True)
class Found:
    """Secrets and personal values that patterns found: of a kind, or by one detector."""

    name: str
    finds: int
    kept_finds: int  # in contents that are kept


@dataclass(frozen=True)
class Cluster:
    """A set of equal texts: the file kept (or first in rank) and how many files hold the text."""

    repo_name: str
    path: str
    num_copies: int


@dataclass(frozen=True)
class ErrorExample:
    member: str
    kind: str
    message: str


@dataclass(frozen=True)
class Job:
    name: str
    status: str
    elapsed_s: float
    counts: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class ReportData:
    """All figures of the page. files_in = kept + the sum of the steps, in files and in bytes."""

    title: str
    made_at: str  # UTC, ISO 8601
    version: str
    refresh_id: str
    config_hash: str
    lake: str
    num_repos: int
    files_in: int
    bytes_in: int
    kept_files: int
    kept_bytes: int
    corpus_bytes: int
    num_redactions: int
    num_languages: int
    sources: tuple[Share, ...] = ()
    steps: tuple[Step, ...] = ()
    failed_rules: tuple[Step, ...] = ()
    languages: tuple[Share, ...] = ()
    categories: tuple[Share, ...] = ()
    expressions: tuple[Share, ...] = ()
    sizes: tuple[Bin, ...] = ()
    lines: tuple[Bin, ...] = ()
    num_clusters: int = 0
    num_removed_copies: int = 0
    cluster_sizes: tuple[Bin, ...] = ()
    largest_clusters: tuple[Cluster, ...] = ()
    num_near_clusters: int = 0
    num_near_removed: int = 0
    near_sizes: tuple[Bin, ...] = ()  # in clusters and those with a kept file
    similarities: tuple[Bin, ...] = ()  # in contents dropped, none kept
    found_kinds: tuple[Found, ...] = ()
    detectors: tuple[Found, ...] = ()
    splits: tuple[Share, ...] = ()
    heaviest_repos: tuple[Share, ...] = ()
    errors: tuple[Step, ...] = ()
    error_examples: tuple[ErrorExample, ...] = ()
    jobs: tuple[Job, ...] = ()
    table_versions: tuple[tuple[str, int], ...] = ()

    @property
    def is_balanced(self) -> bool:
        """In = kept + dropped by reason, in files and in bytes."""
        files = self.kept_files + sum(step.files for step in self.steps)
        num_bytes = self.kept_bytes + sum(step.num_bytes for step in self.steps)
        return (files, num_bytes) == (self.files_in, self.bytes_in)


def count(number: int) -> str:
    """1234567 -> 1.23 M; below ten thousand in full."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 10_000 and number >= factor:
            return f"{number / factor:.3g} {unit}"
    return f"{number:,}".replace(",", "\u2009")


def size(num_bytes: int) -> str:
    """1234567 -> 1.23 MB (powers of 1000)."""
    for factor, unit in ((1e15, "PB"), (1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= factor:
            return f"{num_bytes / factor:.3g} {unit}"
    return f"{num_bytes} B"


def percent(part: float, whole: float) -> str:
    if not whole:
        return "\u2013"
    share = 100 * part / whole
    return f"{share:.0f} %" if share >= 10 else f"{share:.1f} %" if share >= 0.1 else "<0.1 %"


def duration(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def width(part: float, whole: float) -> str:
    """A CSS length; what is not nothing is at least visible."""
    if not whole or not part:
        return "0"
    return f"max(1px, {100 * part / whole:.3f}%)"


def render(data: ReportData) -> str:
    """The page. Raises nothing for an empty corpus."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters.update(
        count=count, size=size, percent=percent, duration=duration, width=width
    )
    text = resources.files("etl").joinpath("data/report.html.j2").read_text("utf-8")
    return environment.from_string(text).render(data=data, remaining=_remaining(data))


def _remaining(data: ReportData) -> list[tuple[Step, int]]:
    """Each step with the files that are left after it."""
    left, rows = data.files_in, []
    for step in data.steps:
        left -= step.files
        rows.append((step, left))
    return rows


BAR = 24  # characters of a bar in the summary


def summary(data: ReportData) -> str:
    """About 25 lines for a terminal."""
    lines = [
        "",
        f"  {data.title}: {count(data.num_repos)} repositories, {count(data.files_in)} files, "
        f"{size(data.bytes_in)}",
        "",
    ]
    rows = [("in", data.files_in, data.bytes_in)]
    rows += [(f"- {step.reason}", step.files, step.num_bytes) for step in data.steps]
    rows.append(("= kept", data.kept_files, data.kept_bytes))
    for name, files, num_bytes in rows:
        lines.append(_line(name, files, num_bytes, data.files_in))
    lines += ["", f"  languages kept: {data.num_languages}"]
    kept = sorted(data.languages, key=lambda share: -share.kept_files)[:8]
    for share in kept:
        if share.kept_files:
            lines.append(_line(share.name, share.kept_files, share.kept_bytes, data.kept_files))
    lines += ["", "  licenses (of all files)"]
    for share in data.categories:
        lines.append(_line(share.name, share.files, share.num_bytes, data.files_in))
    num_errors = sum(step.files for step in data.errors)
    lines += ["", f"  source errors: {num_errors}; values redacted: {data.num_redactions}", ""]
    return "\n".join(lines)


def _line(name: str, files: int, num_bytes: int, whole: int) -> str:
    bar = "#" * round(BAR * files / whole) if whole else ""
    shown = name if len(name) <= 26 else name[:25] + "~"
    return f"  {shown:<26} {files:>9} {size(num_bytes):>9}  {bar}".rstrip()
