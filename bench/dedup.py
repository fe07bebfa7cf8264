"""Near-dedup beside its peers: recall, precision, CPU, memory, and what a refresh costs.

    python -m bench.dedup [--parts quality speed refresh scale bytes] [--sizes 200 2000] [--again NAME...]

Everybody reads the same Parquet (`bench.corpus`) and names the files to drop; two workers; 42 bands of 6
rows for all, so that recall is equal. CPU-seconds are of every process of the tree (`bench.cpu`), our
signatures as a pass of their own counted in. Fixed and marginal cost are the line through the
smallest and the largest size. What was measured once is in build/bench/dedup.json and is not measured
again unless `--again` names it, so that the table can be filled in several goes on a busy machine.

    quality   files dropped, recall and precision against the exact answer at the smallest size
    speed     CPU-seconds, wall, peak memory at each size
    refresh   1 % new files and 10 % other star counts, against a rebuild, at the largest size
    scale     the same over made-up ids and sketches, at several sizes
    bytes     what each step reads and shuffles, and the tables it leaves (docs/near-dedup-cost.md)
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench import corpus, cpu, moved, truth
from bench.environments import python_of
from jobs.runner import code_hash

THRESHOLD = 0.7
BANDS, ROWS = 42, 6
WORKERS = 2
TIMEOUT_S = 1200
PEERS = {  # name -> what its environment holds; versions that go together
    "text-dedup": ("text-dedup==0.4.0", "pyspark==3.5.6", "numpy==1.26.4", "pandas==2.3.3"),
    "datatrove": ("datatrove[io,processing]==0.10.1",),
}
SCRIPTS = {"text-dedup": "text_dedup_spark.py", "datatrove": "datatrove_minhash.py"}
OURS = "stackmill"
WHOLE = ("signatures", "near_dedup", "decide")
# For a run of two minutes: what a better compiler saves it does not earn. The peers get it too.
OURS_SPARK = {
    "spark.driver.extraJavaOptions": "-XX:+UseParallelGC -XX:TieredStopAtLevel=1 -Xms1500m -Xmn700m "
    "-XX:MetaspaceSize=512m"
}
DERIVED = (  # tables that a step writes: absent before it is measured
    "signatures", "documents", "pairs", "band_index", "unverified", "deferred_sets", "duplicates",
    "decisions", "runs", "facts", "name_facts", "pii_spans", "license_facts",
)  # fmt: skip


@dataclass
class Measured:
    """Costs of a run; `steps` has the CPU-seconds of each step of ours."""

    cpu_s: float
    wall_s: float
    peak_bytes: int
    steps: dict[str, float] = field(default_factory=dict)
    by_name: dict[str, float] = field(default_factory=dict)  # of processes: java, python, ...
    python: dict[str, float] = field(default_factory=dict)  # the part of each step in Python


@dataclass
class Result:
    """What a pipeline did: the ids it dropped, and the kept one that it names for each, if it does."""

    dropped: set[str]
    kept_for: dict[str, str] = field(default_factory=dict)


class Bench:
    """The folder with corpora, lakes, environments and what has been measured."""

    def __init__(self, folder: Path, sizes: list[int], again: Iterable[str]) -> None:
        self.folder, self.sizes = folder, sorted(sizes)
        self.corpora = corpus.build(folder, self.sizes)
        self.store = folder / "dedup.json"
        stored = self._stored()
        self.measured = {name: found for name, found in stored.items() if not _named(name, again)}
        if len(self.measured) < len(stored):
            self.store.write_text(json.dumps(self.measured, indent=1))

    def _stored(self) -> dict[str, Any]:
        return dict(json.loads(self.store.read_text())) if self.store.exists() else {}

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """What `measure` gives, from the store where it is there."""
        if name not in self.measured:
            print(f"  {name} ...", flush=True)
            found = measure()
            self.measured = self._stored() | {name: found}
            self.store.write_text(json.dumps(self.measured, indent=1))
        return self.measured[name]

    def run(
        self, name: str, command: list[str], settings: dict[str, str] | None = None
    ) -> Measured:
        """Raises RuntimeError with the log's place if it fails or does not end in time."""
        log = self.log(name)
        log.parent.mkdir(exist_ok=True)
        marks: list[tuple[str, float, float]] = []
        cost = cpu.run(
            command, log=log, timeout_s=TIMEOUT_S,
            env={**os.environ, "STACKMILL_BENCH_SPARK": json.dumps(OURS_SPARK | (settings or {}))},
            on_sample=functools.partial(_mark, log, marks),
        )  # fmt: skip
        if cost.exit_code != 0:
            raise RuntimeError(f"{name}: exit code {cost.exit_code}, see {log}")
        steps: dict[str, float] = {}
        python: dict[str, float] = {}
        ends = [*marks[1:], ("", cost.cpu_s, cost.by_name.get("python", 0.0))]
        for (step, *start), (_, *end) in zip(marks, ends, strict=False):  # a peer has no marks
            steps[step] = steps.get(step, 0.0) + end[0] - start[0]
            python[step] = python.get(step, 0.0) + end[1] - start[1]
        return Measured(cost.cpu_s, cost.wall_s, cost.peak_bytes, steps, cost.by_name, python)

    # --- peers

    def peer(self, peer: str, size: int, bands: int = BANDS, rows: int = ROWS) -> Measured:
        python = python_of(self.folder / "peers" / peer, PEERS[peer])
        name = _name(peer, size, bands, rows)

        def measure() -> dict[str, Any]:
            scratch, output = self.folder / "scratch", self.output(name)
            for path in (scratch, output):
                shutil.rmtree(path, ignore_errors=True)
            output.mkdir(parents=True)
            master = f"local[{WORKERS}]" if peer == "text-dedup" else str(WORKERS)
            script = Path(__file__).parent / "peers" / SCRIPTS[peer]
            given = [self.corpora[size], output / "result", scratch, master, bands, rows]
            done = self.run(name, [str(python), str(script), *map(str, given)])
            shutil.rmtree(scratch, ignore_errors=True)
            return asdict(done)

        return Measured(**self.once(name, measure))

    def output(self, name: str) -> Path:
        return self.folder / "results" / name.replace(" ", "-")

    def result_of_peer(self, peer: str, size: int, bands: int = BANDS, rows: int = ROWS) -> Result:
        output = self.output(_name(peer, size, bands, rows)) / "result"
        if peer == "datatrove":
            return Result(set(output.read_text().split()))
        kept: set[str] = set()
        for path in output.rglob("*.parquet"):  # under folders whose names Arrow passes over
            kept.update(pq.ParquetFile(path).read(columns=["id"]).column("id").to_pylist())
        # Files under five of its tokens it drops unasked: they are not counted as duplicates.
        long_enough = {
            row_id
            for row_id, text in self.rows(size)
            if len(truth.WORDS.findall(text)) >= truth.WIDTH
        }
        return Result(long_enough - kept)

    def rows(self, size: int) -> list[tuple[str, str]]:
        table = pq.read_table(self.corpora[size], columns=["id", "content"])
        return list(
            zip(*(table.column(name).to_pylist() for name in ("id", "content")), strict=True)
        )

    # --- ours

    def lake(self, name: str, source: Path) -> Path:
        """A lake with `repos`, `files` and `blobs` of the source; ingest is not measured."""
        lake = self.folder / f"lake-{name}"
        if not (lake / "_ready").exists():
            shutil.rmtree(lake, ignore_errors=True)
            self.flow(f"ingest {name}", lake, source, "ingest")
            (lake / "_ready").touch()
        return lake

    def flow(
        self,
        name: str,
        lake: Path,
        source: Path,
        *steps: str,
        settings: dict[str, str] | None = None,
    ) -> Measured:
        """Runs steps in one process. The last may be `export`, whose result becomes the output `name`."""
        command = [sys.executable, "-m", "bench.ours", str(lake), str(source), *steps]
        done = self.run(name, command, settings)
        if steps[-1] != "export":
            return done
        output = self.output(name)
        shutil.rmtree(output, ignore_errors=True)
        output.mkdir(parents=True)
        shutil.move(f"{lake}-duplicates", output / "duplicates")
        started = self.started(name)
        done.wall_s -= (started["end"] - started["export"]) / 1000
        done.cpu_s -= done.steps.pop("export")
        return done

    def started(self, name: str) -> dict[str, int]:
        """Milliseconds at which each step began."""
        log = self.log(name).read_text().splitlines()
        return {line.split()[1]: int(line.split()[2]) for line in log if line[:2] == "# "}

    def moved(self, size: int) -> dict[str, Any]:
        """Bytes read and shuffled by each step, sizes of the tables, documents and counts."""

        def measure() -> dict[str, Any]:
            lake, source, name = (
                self.lake(str(size), self.corpora[size]),
                self.corpora[size],
                f"bytes {size}",
            )
            events = (self.folder / "events").resolve()
            shutil.rmtree(events, ignore_errors=True)
            events.mkdir()
            forget(lake)
            settings = {"spark.eventLog.enabled": "true", "spark.eventLog.dir": events.as_uri()}
            self.flow(name, lake, source, *WHOLE, settings=settings)
            steps = list(self.started(name).items())
            found = {step: asdict(row) for step, row in moved.moved(events, steps).items()}
            shutil.rmtree(events)
            done = json.loads((source / "_done").read_text())
            return {"steps": found, "tables": moved.table_bytes(lake), **done}

        return dict(self.once(f"bytes {size}", measure))

    def log(self, name: str) -> Path:
        return self.folder / "logs" / f"{name.replace(' ', '-')}.log"

    def ours(self, size: int) -> Measured:
        name = f"{OURS} {size}"

        def measure() -> dict[str, Any]:
            self.compile()
            lake = self.lake(str(size), self.corpora[size])
            forget(lake)
            return asdict(self.flow(name, lake, self.corpora[size], *WHOLE, "export"))

        return Measured(**self.once(name, measure))

    def compile(self) -> None:
        """Runs all steps over a few files, so that no kernel is compiled while it is measured.

        numba keeps what it has compiled beside the source: a user pays it once an installation.
        """
        marker = self.folder / "compiled" / code_hash()
        if marker.exists():
            return
        source, lake = self.folder / "corpus-compile", self.folder / "lake-compile"
        shutil.rmtree(lake, ignore_errors=True)
        source.mkdir(exist_ok=True)
        words = [f"word{i}" for i in range(400)]
        texts = [" ".join([*words, f"serial{i}"]) for i in range(200)]  # a full bucket
        texts += [" ".join(words[i : i + 60]) for i in range(0, 300, 5)]  # and pairs
        rows = [
            (hashlib.sha256(text.encode()).hexdigest(), f"r/{i}", "a/b.py", i, text)
            for i, text in enumerate(texts)
        ]
        columns = [list(column) for column in zip(*rows, strict=True)]
        pq.write_table(pa.table(columns, schema=corpus.ROWS), source / "part-0.parquet")
        self.flow("compile", lake, source, "ingest", *WHOLE, "annotate")
        marker.parent.mkdir(exist_ok=True)
        marker.touch()

    def result_of_ours(self, name: str) -> Result:
        rows = pq.read_table(self.output(name) / "duplicates", columns=["blob_id", "kept_blob_id"])
        kept_for = {
            row["blob_id"]: row["kept_blob_id"]
            for row in rows.to_pylist()
            if row["blob_id"] != row["kept_blob_id"]
        }
        return Result(set(kept_for), kept_for)

    def share_of_annotate(self, size: int) -> dict[str, float]:
        """CPU-seconds of the annotate stage with the signatures due, and with them there already."""

        def measure() -> dict[str, float]:
            lake, source = self.lake(str(size), self.corpora[size]), self.corpora[size]
            forget(lake)
            whole = self.flow(f"annotate {size}", lake, source, "annotate").steps["annotate"]
            forget(lake)
            found = self.flow(f"annotate rest {size}", lake, source, "signatures", "annotate")
            return {"with_signatures": whole, "without": found.steps["annotate"]}

        return dict(self.once(f"annotate share {size}", measure))


def _name(peer: str, size: int, bands: int, rows: int) -> str:
    return f"{peer} {size}" if (bands, rows) == (BANDS, ROWS) else f"{peer} {bands}x{rows} {size}"


def _named(name: str, again: Iterable[str]) -> bool:
    return any(name == one or name.startswith(f"{one} ") for one in again)


def _mark(log: Path, marks: list[tuple[str, float, float]], tree: cpu.Tree) -> None:
    """Notes the CPU-seconds at which each step of `bench.ours` began, to a sampling interval."""
    with log.open("rb") as file:
        started = [line.split()[1].decode() for line in file if line.startswith(b"# ")]
    if len(started) > len(marks):
        now = tree.cpu_s, tree.by_name.get("python", 0.0)
        marks += [(step, *now) for step in started[len(marks) :]]


def forget(lake: Path) -> None:
    """Removes what is derived from `blobs` and `files`."""
    for table in DERIVED:
        shutil.rmtree(lake / table, ignore_errors=True)


# --- quality


@dataclass
class Quality:
    dropped: int
    recall: float  # true pairs of which at most one member is kept
    wrong: int  # dropped, and nothing kept is similar to it
    unnamed: int  # dropped for a named twin that is not similar to it, or not kept itself
    lost_clusters: int  # sets of true duplicates of which nothing is kept


@dataclass(frozen=True)
class Answer:
    """The exact answer: row of each id, sets, true pairs."""

    row_of: dict[str, int]
    sets: truth.Sets
    pairs: npt.NDArray[np.int64]
    scores: npt.NDArray[np.float64]

    def judge(self, result: Result) -> Quality:
        kept = np.ones(len(self.row_of), np.bool_)
        for row_id in result.dropped:
            kept[self.row_of[row_id]] = False
        left, right = kept[self.pairs[:, 0]], kept[self.pairs[:, 1]]
        recall = 1.0 - float(np.mean(left & right)) if len(self.pairs) else 1.0
        has_twin = np.zeros(len(kept), np.bool_)
        has_twin[self.pairs[left, 1]] = True
        has_twin[self.pairs[right, 0]] = True
        unnamed = 0
        for dropped, twin in result.kept_for.items():
            row, other = self.row_of[dropped], self.row_of[twin]
            score = truth.similarity(self.sets, row, other)
            is_short = self.size(row) == 0  # compared by its text: exact_text
            unnamed += not kept[other] or (score < THRESHOLD - truth.EPSILON and not is_short)
        wrong = ~kept & ~has_twin & (np.diff(self.sets[0]) > 0)
        clusters = _components(len(kept), self.pairs)
        of_pairs = np.unique(clusters[self.pairs])
        kept_clusters = np.unique(clusters[kept])
        lost = len(np.setdiff1d(of_pairs, kept_clusters))
        return Quality(len(result.dropped), recall, int(wrong.sum()), unnamed, lost)

    def size(self, row: int) -> int:
        return int(self.sets[0][row + 1] - self.sets[0][row])


def exact_answer(rows: list[tuple[str, str]]) -> Answer:
    sets = truth.shingle_sets(text for _, text in rows)
    pairs, scores = truth.all_pairs(sets, THRESHOLD)
    return Answer({row_id: row for row, (row_id, _) in enumerate(rows)}, sets, pairs, scores)


def _components(num_rows: int, pairs: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    parent = list(range(num_rows))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for one, two in pairs.tolist():
        parent[find(one)] = find(two)
    return np.array([find(row) for row in range(num_rows)], np.int64)


def quality(bench: Bench, size: int) -> None:
    rows = bench.rows(size)
    answer = exact_answer(rows)
    print(
        f"\nQuality: {len(rows):,} files, {size} MB, {len(answer.pairs):,} true pairs at {THRESHOLD}"
    )
    print(f"{'':<22}{'dropped':>9}{'recall':>9}{'precision':>11}{'wrong':>7}{'clusters lost':>15}")
    results = {OURS: bench.result_of_ours(f"{OURS} {size}")}
    results |= {peer: bench.result_of_peer(peer, size) for peer in PEERS}
    for name, result in results.items():
        found = answer.judge(result)
        wrong = max(found.wrong, found.unnamed)
        precision = 1 - wrong / max(1, found.dropped)
        print(
            f"{name:<22}{found.dropped:>9,}{found.recall:>9.4f}{precision:>11.4f}{wrong:>7,}"
            f"{found.lost_clusters:>15,}"
        )


# --- speed


def speed(bench: Bench) -> None:
    runs: dict[str, dict[int, Measured]] = {OURS: {}, **{peer: {} for peer in PEERS}}
    for size in bench.sizes:
        runs[OURS][size] = bench.ours(size)
        for peer in PEERS:
            try:
                runs[peer][size] = bench.peer(peer, size)
            except RuntimeError as error:
                print(f"  not measured: {error}")
    sizes = {size: real_mb(bench.corpora[size]) for size in bench.sizes}
    print("\nSpeed: CPU-seconds of the whole tree (wall s, peak GB)")
    print(f"{'MB':<8}" + "".join(f"{name:>28}" for name in runs))
    for size in bench.sizes:
        cells = [_cell(found.get(size)) for found in runs.values()]
        print(f"{sizes[size]:<8.0f}" + "".join(f"{cell:>28}" for cell in cells))
    lines = {name: _line(sizes, found) for name, found in runs.items() if len(found) > 1}
    largest = bench.sizes[-1]
    print("\nLine through the smallest and the largest size measured")
    print(
        f"{'':<12}{'fixed s':>9}{'s a MB':>9}{'s at ' + str(largest):>10}{'marginal x':>12}{'total x':>9}"
    )
    _, ours_slope = lines[OURS]
    ours_total = runs[OURS][largest].cpu_s
    for name, (fixed, slope) in lines.items():
        total = (
            runs[name][largest].cpu_s if largest in runs[name] else fixed + slope * sizes[largest]
        )
        mark = "" if largest in runs[name] else " (by the line)"
        print(
            f"{name:<12}{fixed:>9.1f}{slope:>9.4f}{total:>10.1f}{slope / ours_slope:>12.1f}"
            f"{total / ours_total:>9.1f}{mark}"
        )
    print("\nSteps of ours, CPU-seconds")
    for size in bench.sizes:
        steps = runs[OURS][size].steps
        print(f"{size:>6} MB  " + "  ".join(f"{step} {s:.1f}" for step, s in steps.items()))
    ends = (bench.sizes[0], largest)
    shares = [bench.share_of_annotate(size) for size in ends]
    cost = [share["with_signatures"] - share["without"] for share in shares]
    alone = [runs[OURS][size].steps["signatures"] for size in ends]
    slope = ours_slope + ((cost[1] - cost[0]) - (alone[1] - alone[0])) / (
        sizes[ends[1]] - sizes[ends[0]]
    )
    print(
        f"\nSignatures inside the annotate pass cost {cost[0]:.1f} and {cost[1]:.1f} s at {ends[0]} and "
        f"{ends[1]} MB (alone {alone[0]:.1f} and {alone[1]:.1f}); with that share in place of the pass "
        f"of their own: {slope:.4f} s a MB, total {ours_total - alone[1] + cost[1]:.1f} s"
    )
    for peer in PEERS:
        if peer in lines:
            print(f"  marginal against {peer}: {lines[peer][1] / slope:.1f} x")


def _cell(found: Measured | None) -> str:
    if found is None:
        return "-"
    return f"{found.cpu_s:.1f} ({found.wall_s:.0f}, {found.peak_bytes / 1e9:.1f})"


def _line(sizes: dict[int, float], found: dict[int, Measured]) -> tuple[float, float]:
    low, high = min(found), max(found)
    slope = (found[high].cpu_s - found[low].cpu_s) / (sizes[high] - sizes[low])
    return found[low].cpu_s - slope * sizes[low], slope


def real_mb(folder: Path) -> float:
    """MB of text."""
    content = pq.read_table(folder, columns=["content"]).column("content")
    return float(pc.sum(pc.binary_length(content)).as_py()) / 1e6


# --- refresh


def refresh(bench: Bench, size: int) -> None:
    """The same lake, rebuilt, then refreshed with nothing, then with the change."""
    before, after = change(bench.folder, bench.corpora[size], size)
    name = f"refresh {size}"

    def measure() -> dict[str, Any]:
        bench.compile()
        stages = ("annotate", "near_dedup", "decide")
        lake = bench.lake(f"before-{size}", before)
        forget(lake)
        rebuild = bench.flow(f"{name} rebuild", lake, before, *stages, "export")
        empty = bench.flow(f"{name} empty", lake, before, *stages)
        (lake / "_ready").unlink()  # from here on it is not the lake of `before`
        bench.flow(f"{name} ingest", lake, after, "ingest")
        changed = bench.flow(f"{name} change", lake, after, *stages, "export")
        fresh = bench.lake(f"after-{size}", after)
        forget(fresh)
        bench.flow(f"{name} rebuilt", fresh, after, *stages, "export")
        runs = {"rebuild": rebuild, "empty": empty, "change": changed}
        return {key: asdict(run) for key, run in runs.items()}

    runs = {key: Measured(**run) for key, run in bench.once(name, measure).items()}
    print(f"\nRefresh at {size} MB: 1 % new files, 10 % of the repositories with other star counts")
    print(f"{'':<26}{'rebuild':>9}{'empty':>9}{'change':>9}{'share':>8}")
    for title, steps in (
        ("annotate to decide", ("annotate", "near_dedup", "decide")),
        ("near_dedup and decide", ("near_dedup", "decide")),
        ("near_dedup", ("near_dedup",)),
    ):
        cost = {key: sum(run.steps[step] for step in steps) for key, run in runs.items()}
        share = (cost["change"] - cost["empty"]) / max(1e-9, cost["rebuild"] - cost["empty"])
        print(
            f"{title:<26}{cost['rebuild']:>9.1f}{cost['empty']:>9.1f}{cost['change']:>9.1f}{share:>8.1%}"
        )
    old, new = (bench.result_of_ours(f"{name} {which}") for which in ("rebuild", "change"))
    rebuilt = bench.result_of_ours(f"{name} rebuilt")
    known = set(pq.read_table(before, columns=["id"]).column("id").to_pylist())
    flipped = (old.dropped ^ new.dropped) & known
    same = new.kept_for == rebuilt.kept_for
    print(
        f"{len(flipped):,} of {len(known):,} files changed between kept and dropped "
        f"({len(flipped - new.dropped):,} are kept now); "
        f"refresh {'equals' if same else 'DIFFERS FROM'} rebuild"
    )


def change(folder: Path, source: Path, size: int) -> tuple[Path, Path]:
    """The corpus without 1 % of its files, and the whole with other stars for 10 % of repositories."""
    before, after = folder / f"corpus-{size}-before", folder / f"corpus-{size}-after"
    if (after / "_done").exists():
        return before, after
    for target in (before, after):
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
    for part in sorted(source.glob("*.parquet")):
        file = pq.ParquetFile(part)
        with (
            pq.ParquetWriter(before / part.name, corpus.ROWS, compression="zstd") as old,
            pq.ParquetWriter(after / part.name, corpus.ROWS, compression="zstd") as new,
        ):
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group)
                is_old = [int(row_id[:8], 16) % 100 != 0 for row_id in rows["id"].to_pylist()]
                old.write_table(rows.filter(pa.array(is_old)))
                stars = pa.array(
                    [
                        count * 5 + 4 if _is_changed(repo) else count
                        for repo, count in zip(
                            rows["repo_name"].to_pylist(), rows["stars"].to_pylist(), strict=True
                        )
                    ],
                    pa.int64(),
                )
                new.write_table(
                    rows.set_column(rows.schema.get_field_index("stars"), "stars", stars)
                )
    (after / "_done").touch()
    return before, after


def scale(bench: Bench, documents: list[int]) -> None:
    """The refresh over made-up ids and sketches (`bench.synthetic`): how its cost grows."""
    print("\nRefresh over ids and sketches alone: CPU-seconds of near_dedup and decide")
    print(f"{'documents':>10}{'GB':>7}{'rebuild':>9}{'empty':>8}{'change':>8}{'share':>8}")
    for count in documents:
        found = bench.once(f"scale {count}", lambda count=count: _scale(bench, count))
        runs = {key: Measured(**run) for key, run in found["runs"].items()}
        cost = {key: run.steps["near_dedup"] + run.steps["decide"] for key, run in runs.items()}
        share = (cost["change"] - cost["empty"]) / (cost["rebuild"] - cost["empty"])
        print(
            f"{count:>10,}{found['bytes'] / 1e9:>7.2f}{cost['rebuild']:>9.1f}{cost['empty']:>8.1f}"
            f"{cost['change']:>8.1f}{share:>8.1%}"
        )


def _scale(bench: Bench, count: int) -> dict[str, Any]:
    lake, none = bench.folder / f"lake-scale-{count}", bench.folder
    shutil.rmtree(lake, ignore_errors=True)
    synthetic = [sys.executable, "-m", "bench.synthetic", str(lake)]
    stages = ("near_dedup", "decide")
    bench.compile()
    bench.run(f"scale {count} add", [*synthetic, "0", str(count)])
    rebuild = bench.flow(f"scale {count} rebuild", lake, none, *stages)
    empty = bench.flow(f"scale {count} empty", lake, none, *stages)
    last = str(count + count // 100)
    bench.run(f"scale {count} new", [*synthetic, str(count), last])
    bench.run(f"scale {count} stars", [*synthetic, "stars", last])
    changed = bench.flow(f"scale {count} change", lake, none, *stages)
    tables = moved.table_bytes(lake)
    shutil.rmtree(lake)
    return {
        "runs": {
            key: asdict(run)
            for key, run in {"rebuild": rebuild, "empty": empty, "change": changed}.items()
        },
        "bytes": tables["signatures"] + tables["files"],
        "tables": tables,
    }


def _is_changed(repo_name: str) -> bool:
    return hashlib.sha256(repo_name.encode()).digest()[0] % 10 == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--parts", nargs="+", default=["quality", "speed", "refresh", "scale", "bytes"]
    )
    parser.add_argument("--documents", type=int, nargs="+", default=[100_000, 300_000, 1_000_000])
    parser.add_argument("--folder", type=Path, default=Path("build/bench"))
    parser.add_argument("--sizes", type=int, nargs="+", default=[200, 2000], help="MB")
    parser.add_argument("--again", nargs="+", default=[], help="measure anew what begins so")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(args.folder, args.sizes, args.again)
    smallest, largest = bench.sizes[0], bench.sizes[-1]
    if "quality" in args.parts:
        bench.ours(smallest)
        for peer in PEERS:
            bench.peer(peer, smallest)
        quality(bench, smallest)
    if "speed" in args.parts:
        speed(bench)
    if "refresh" in args.parts:
        refresh(bench, largest)
    if "scale" in args.parts:
        scale(bench, args.documents)
    if "bytes" in args.parts:
        for size in bench.sizes:
            print(json.dumps(bench.moved(size), indent=1))


if __name__ == "__main__":
    main()
