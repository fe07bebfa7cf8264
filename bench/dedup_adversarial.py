"""Inputs made to break near-dedup, each with a known right answer, through Spark.

    python -m bench.dedup_adversarial [CASE...] [--scale 1.0]

Each case is written as Parquet, ingested, and put through the signatures, `near_dedup` and `decide` in one
process. Printed: seconds of wall and of CPU (whole tree) of these steps, peak memory, rounds of the
election, rows of `pairs`, files dropped, and whether what was kept is right. `--scale` shrinks the
cases, to try them out.

A document is a run of words that no other has, so that its similarities can be computed on paper: two
documents that share s of their n shingles each have similarity s / (2 n - s).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import random
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench import corpus, truth
from bench.dedup import OURS, WHOLE, Bench, Measured, Result
from etl.near_dedup.config import NearDedupConfig

BATCH = 2000


@dataclass(frozen=True)
class File:
    name: str  # path inside its repository
    text: str
    stars: int = 0


@dataclass(frozen=True)
class Case:
    """`check` gives what is wrong with what was kept, or an empty text."""

    name: str
    files: Callable[[float], Iterator[File]]
    check: Callable[[dict[str, File], Result], str]


def words(seed: str, count: int) -> list[str]:
    """Words that no other seed has."""
    key = hashlib.sha256(seed.encode()).hexdigest()[:10]
    return [f"w{key}{i}" for i in range(count)]


def code(tokens: list[str]) -> str:
    """Looks like lines of code: eight words each."""
    return "".join(
        f"    {tokens[i]}({', '.join(tokens[i + 1 : i + 8])});\n" for i in range(0, len(tokens), 8)
    )


# --- 100,000 near-identical generated files


def generated(scale: float) -> Iterator[File]:
    """One text of 400 words, the last of them a number of the file's own: 396 shingles, 395 in common."""
    common = words("generated", 399)
    for i in range(round(100_000 * scale)):
        yield File(f"gen/{i:06d}.py", code([*common, f"serial{i}"]))


def one_is_kept(files: dict[str, File], result: Result) -> str:
    kept = len(files) - len(result.dropped)
    return "" if kept == 1 else f"{kept} kept, expected 1"


# --- 20,000 files with much common text, none similar enough


def boilerplate(scale: float) -> Iterator[File]:
    """300 common words ahead of 100 own ones: 296 of 396 shingles, 75 %; similarity 0.597."""
    common = words("license header", 300)
    for i in range(round(20_000 * scale)):
        yield File(f"src/{i:05d}.py", code([*common, *words(f"body {i}", 100)]))


def all_are_kept(files: dict[str, File], result: Result) -> str:
    return f"{len(result.dropped)} dropped, expected 0" if result.dropped else ""


# --- a component of candidates larger than a task's memory


def large_component(scale: float) -> Iterator[File]:
    """A ring of versions of 12 KB: each drops 12 % of the last one's words for new ones.

    Neighbours are similar (0.785), those two apart are not (0.612) but meet in the bands, as do many
    of those three apart: all are one component of the candidate graph. 30,000 of them are 360 MB of
    text, and 1,500 shingles of 8 bytes each are 360 MB of sets.
    """
    yield from _drift("component", round(30_000 * scale), 1500, 180)


def drift_is_right(step: int, length: int) -> Callable[[dict[str, File], Result], str]:
    """Against the greedy choice in rank order, with the similarities computed exactly by place.

    A similar pair that shares no band is missed, as often as the curve of the bands says: such pairs, of
    which both are kept, are no more than that, and all else follows from the others.
    """

    def check(files: dict[str, File], result: Result) -> str:
        order = sorted(files, key=lambda row_id: _rank(files[row_id], row_id))
        place = {row_id: int(files[row_id].name.split("/")[-1].split(".")[0]) for row_id in files}
        reach = next(d for d in range(1, 99) if _overlap(d * step, length) < 0.7)
        kept = {place[row_id] for row_id in files if row_id not in result.dropped}
        missed = {(at, at + d) for at in kept for d in range(1, reach) if at + d in kept}
        kept_at: set[int] = set()
        expected = set()
        for row_id in order:
            at = place[row_id]
            near = (other for other in range(at - reach + 1, at + reach) if other in kept_at)
            if any((min(at, other), max(at, other)) not in missed for other in near):
                expected.add(row_id)
            else:
                kept_at.add(at)
        wrong = len(expected ^ result.dropped)
        if wrong:
            return f"{wrong} of {len(files)} files differ from greedy in rank order"
        compared = NearDedupConfig().probability
        allowed = sum(
            len(files) * (1 - compared(_overlap(d * step, length))) for d in range(1, reach)
        )
        if len(missed) > allowed + 5 * math.sqrt(allowed):
            return (
                f"{len(missed)} similar pairs are kept, expected {allowed:.1f} that share no band"
            )
        return ""

    return check


def _overlap(shift: int, length: int) -> float:
    """Similarity of two windows of `length` words of one long text, `shift` words apart."""
    size = length - truth.WIDTH + 1
    common = max(0, size - shift)
    return common / (2 * size - common)


def _drift(seed: str, count: int, length: int, step: int) -> Iterator[File]:
    text = [f"{seed[0]}{i:x}" for i in range(count * step + length)]
    for i in range(count):
        # Stars in no order of the versions: greedy in rank order has choices to make.
        stars = random.Random(f"{seed} {i}").randrange(1000)
        yield File(f"v/{i:06d}.py", code(text[i * step : i * step + length]), stars)


def _rank(file: File, row_id: str) -> tuple[int, str]:
    """Star class, then text_id (all lie equally deep): the election's order, where LF ends the lines."""
    star_class = 0
    while 4 ** (star_class + 1) <= 1 + file.stars:
        star_class += 1
    return -star_class, row_id


# --- 50,000 files of one line


def one_line(scale: float) -> Iterator[File]:
    """Under five words each, all different: no shingle, so no duplicate; every tenth is there with CRLF."""
    for i in range(round(50_000 * scale)):
        text = f"from .m{i // 3} import x{i % 3}"
        yield File(f"p{i}/__init__.py", f"{text}\n")
        if i % 10 == 0:
            yield File(f"q{i}/__init__.py", f"{text}\r\n")


def one_line_is_right(files: dict[str, File], result: Result) -> str:
    with_crlf = {file.text.strip() for file in files.values() if file.text.endswith("\r\n")}
    dropped = [files[row_id].text.strip() for row_id in result.dropped]
    if sorted(dropped) != sorted(with_crlf):
        return f"{len(dropped)} dropped, expected one of each of {len(with_crlf)} pairs with CRLF"
    return ""


# --- templates that differ in one token


def templates(scale: float) -> Iterator[File]:
    """2,000 templates of 20 files; one word of 24, in the middle, differs: 5 of 20 shingles are a file's own.

    So 15 of 25 are common: 0.6, under the threshold: all are kept. Half of the templates have 60
    words: 51 of 61 shingles, 0.836: one of each is kept.
    """
    for t in range(round(2_000 * scale)):
        length = 24 if t % 2 else 60
        base = words(f"template {t}", length)
        for i in range(20):
            tokens = [*base]
            tokens[length // 2] = f"field{i}"
            yield File(f"t{t % 2}/{t:05d}/{i}.py", code(tokens))


def templates_are_right(files: dict[str, File], result: Result) -> str:
    short = sum(files[row_id].name.startswith("t1/") for row_id in result.dropped)
    kept: dict[str, int] = {}
    for row_id, file in files.items():
        if file.name.startswith("t0/"):
            kept.setdefault(file.name.rsplit("/", 1)[0], 0)
            kept[file.name.rsplit("/", 1)[0]] += row_id not in result.dropped
    wrong = sum(count != 1 for count in kept.values())
    if short or wrong:
        return f"{short} files of short templates dropped; {wrong} long templates do not keep one"
    return ""


# --- a chain of versions


def chain(scale: float) -> Iterator[File]:
    """10,000 versions of 200 words, each 30 words on: neighbours 0.735, those two apart 0.531."""
    yield from _drift("chain", round(10_000 * scale), 200, 30)


CASES = (
    Case("generated", generated, one_is_kept),
    Case("boilerplate", boilerplate, all_are_kept),
    Case("component", large_component, drift_is_right(180, 1500)),
    Case("one_line", one_line, one_line_is_right),
    Case("templates", templates, templates_are_right),
    Case("chain", chain, drift_is_right(30, 200)),
)


def write(case: Case, target: Path, scale: float) -> dict[str, File]:
    """The case as Parquet of the bench's rows, a repository of its own for each 50 files or star count."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    files: dict[str, File] = {}
    writer = pq.ParquetWriter(target / "part-0.parquet", corpus.ROWS, compression="zstd")
    rows: list[tuple[str, str, str, int, str]] = []
    for number, file in enumerate(case.files(scale)):
        row_id = hashlib.sha256(file.text.encode()).hexdigest()
        if row_id in files:
            continue
        files[row_id] = file
        repo = f"{case.name}/{number // 50}-{file.stars}"
        rows.append((row_id, repo, file.name, file.stars, file.text))
        if len(rows) == BATCH:
            _flush(writer, rows)
    _flush(writer, rows)
    writer.close()
    return files


def _flush(writer: pq.ParquetWriter, rows: list[tuple[str, str, str, int, str]]) -> None:
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        writer.write_table(pa.table(columns, schema=corpus.ROWS))
        rows.clear()


def run(bench: Bench, case: Case, scale: float) -> dict[str, object]:
    bench.compile()
    source = bench.folder / f"case-{case.name}"
    files = write(case, source, scale)
    lake = bench.folder / f"lake-{case.name}"
    shutil.rmtree(lake, ignore_errors=True)
    bench.flow(f"ingest {case.name}", lake, source, "ingest")
    name = f"{OURS} {case.name}"
    found: Measured = bench.flow(name, lake, source, *WHOLE, "export")
    result = bench.result_of_ours(name)
    log = (bench.folder / "logs" / f"{name.replace(' ', '-')}.log").read_text()
    shutil.rmtree(lake)
    shutil.rmtree(source)
    return {
        "files": len(files),
        "mb": sum(len(file.text) for file in files.values()) / 1e6,
        "cpu_s": sum(found.steps[step] for step in WHOLE),
        "steps": found.steps,
        "wall_s": found.wall_s,
        "peak_bytes": found.peak_bytes,
        "counts": _counts(log),
        "dropped": len(result.dropped),
        "wrong": case.check(files, result),
    }


def _counts(log: str) -> dict[str, int]:
    """What the end lines of the stages say: `near_dedup: done in 3.2 s; pairs 5, rounds 1`."""
    found = {}
    for line in log.splitlines():
        if ": done in " in line:
            for part in line.split("; ", 1)[-1].split(", "):
                name, _, value = part.rpartition(" ")
                if value.isdigit():
                    found[name] = int(value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("cases", nargs="*", default=[case.name for case in CASES])
    parser.add_argument("--scale", type=float, default=1.0)
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.folder, [], [])
    store = args.folder / "adversarial.json"
    stored = json.loads(store.read_text()) if store.exists() else {}
    print(
        f"{'case':<13}{'files':>9}{'MB':>7}{'CPU s':>8}{'wall s':>8}{'peak GB':>9}{'dropped':>9}  right?"
    )
    is_right = True
    for case in CASES:
        if case.name not in args.cases:
            continue
        row = run(bench, case, args.scale)
        stored[case.name] = row | {"scale": args.scale}
        store.write_text(json.dumps(stored, indent=1))
        is_right &= not row["wrong"]
        print(
            f"{case.name:<13}{row['files']:>9,}{row['mb']:>7.0f}{row['cpu_s']:>8.1f}"
            f"{row['wall_s']:>8.0f}{row['peak_bytes'] / 1e9:>9.2f}{row['dropped']:>9,}  "  # type: ignore[operator]
            f"{row['wrong'] or 'yes'}",
            flush=True,
        )
        print(f"{'':<13}{row['counts']}", flush=True)
    sys.exit(0 if is_right else 1)


if __name__ == "__main__":
    main()
