"""How well does a detector find what people labelled?

    python -m bench.pii_score predictions.jsonl [--split dev] [--list]

A prediction is a row {"file": index of the label row, "kind", "start", "end", "detector", "layer"},
in bytes of the text; figures of each layer are printed where predictions name theirs. Two ways to match,
both one to one and of the same kind: `overlap`, where the intersection is at least half of the union, and
`exact`, the same bytes. SECRET is KEY and PASSWORD taken as one kind.

A prediction that touches a doubtful span and matches no other is left out; a doubtful span is never a
miss. `--doubtful` counts them as labelled instead. Values are never printed: `--list` gives places.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bench.pii_files import LabelledFile, Span, parse_with_files
from etl.facts.language import classify_text

KINDS = ("EMAIL", "IP_ADDRESS", "KEY", "PASSWORD", "USERNAME", "NAME")
SECRETS = frozenset({"KEY", "PASSWORD"})
MIN_IOU = 0.5
AROUND = b" \t\r\n\"'`<>()[]{},;@"  # what may lie around a value without making it another one


@dataclass(frozen=True)
class Prediction:
    """One finding: the file's index in the set and a half-open range of bytes of its text."""

    file: int
    kind: str
    start: int
    end: int
    detector: str = ""
    layer: str = ""


@dataclass
class Score:
    """Counts of one kind; precision and recall are 0 where nothing was found or labelled."""

    labelled: int = 0
    found: int = 0
    hits: int = 0

    @property
    def precision(self) -> float:
        return self.hits / self.found if self.found else 0.0

    @property
    def recall(self) -> float:
        return self.hits / self.labelled if self.labelled else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.hits / (self.found + self.labelled) if self.hits else 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of one file's predictions and spans, for one way to match."""

    pairs: tuple[tuple[Span, Prediction], ...]
    false_alarms: tuple[Prediction, ...]
    misses: tuple[Span, ...]


def trimmed(text: bytes, start: int, end: int) -> tuple[int, int]:
    """The range without quotes, brackets, blanks and `@` at its ends, so that detectors' habits are equal."""
    while start < end and text[start] in AROUND:
        start += 1
    while end > start and text[end - 1] in AROUND:
        end -= 1
    return start, end


def iou(one: Span | Prediction, other: Span | Prediction) -> float:
    """Intersection over union of two ranges, in [0, 1]."""
    shared = min(one.end, other.end) - max(one.start, other.start)
    if shared <= 0:
        return 0.0
    return shared / (max(one.end, other.end) - min(one.start, other.start))


def match(
    file: LabelledFile, predictions: Iterable[Prediction], kinds: frozenset[str], exact: bool
) -> Outcome:
    """Pairs predictions and spans of these kinds one to one, the best overlap first."""
    spans = []
    for span in file.spans:
        start, end = trimmed(file.text, span.start, span.end)
        spans.append(replace(span, start=start, end=end))
    found = []
    for prediction in predictions:
        start, end = trimmed(file.text, prediction.start, prediction.end)
        if prediction.kind in kinds and start < end:
            found.append(replace(prediction, start=start, end=end))
    found = sorted(set(found), key=lambda one: (one.start, one.end, one.detector))
    firm = [span for span in spans if span.kind in kinds and not span.doubtful]
    least = 1.0 if exact else MIN_IOU
    close = sorted(
        (
            (-iou(span, one), s, p)
            for s, span in enumerate(firm)
            for p, one in enumerate(found)
            if iou(span, one) >= least
        ),
    )
    of_span: dict[int, int] = {}
    of_found: dict[int, int] = {}
    for _, s, p in close:
        if s not in of_span and p not in of_found:
            of_span[s], of_found[p] = p, s
    doubtful = [span for span in spans if span.doubtful]
    return Outcome(
        tuple((firm[s], found[p]) for s, p in of_span.items()),
        tuple(
            one
            for p, one in enumerate(found)
            if p not in of_found and not any(iou(one, span) > 0 for span in doubtful)
        ),
        tuple(span for s, span in enumerate(firm) if s not in of_span),
    )


def score(
    files: Sequence[LabelledFile], predictions: Sequence[Prediction], *, exact: bool = False
) -> dict[str, Score]:
    """A score for each kind that is predicted or labelled, SECRET and ALL (kinds must agree) included."""
    by_file: dict[int, list[Prediction]] = {}
    for one in predictions:
        by_file.setdefault(one.file, []).append(one)
    groups = {kind: frozenset({kind}) for kind in KINDS} | {"SECRET": SECRETS}
    scores = {name: Score() for name in groups}
    for index, file in enumerate(files):
        for name, kinds in groups.items():
            outcome = match(file, by_file.get(index, ()), kinds, exact)
            scores[name].hits += len(outcome.pairs)
            scores[name].found += len(outcome.pairs) + len(outcome.false_alarms)
            scores[name].labelled += len(outcome.pairs) + len(outcome.misses)
    return scores


def confusion(
    files: Sequence[LabelledFile], predictions: Sequence[Prediction]
) -> Counter[tuple[str, str, str]]:
    """How often a detector called a labelled kind what: (detector, labelled or "nothing", predicted).

    Spans that no detector found count under ("", labelled, "nothing"); doubtful ones as "doubtful".
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    by_file: dict[int, list[Prediction]] = {}
    for one in predictions:
        by_file.setdefault(one.file, []).append(one)
    for index, file in enumerate(files):
        found = by_file.get(index, [])
        for one in found:
            best = max(file.spans, key=lambda span: iou(span, one), default=None)
            if best is None or iou(best, one) == 0:
                label = "nothing"
            elif best.doubtful:
                label = "doubtful"
            else:
                label = best.kind if iou(best, one) >= MIN_IOU else f"part of {best.kind}"
            counts[one.detector, label, one.kind] += 1
        for span in file.spans:
            if not span.doubtful and not any(iou(span, one) >= MIN_IOU for one in found):
                counts["", span.kind, "nothing"] += 1
    return counts


def counted(files: Sequence[LabelledFile]) -> list[LabelledFile]:
    """The same set with every doubtful span counted as labelled."""
    return [
        replace(file, spans=tuple(replace(span, doubtful=False) for span in file.spans))
        for file in files
    ]


def table(files: Sequence[LabelledFile], predictions: Sequence[Prediction]) -> str:
    """Lines of precision, recall and F1 per kind: overlap, exact, and overlap with the doubtful counted."""
    ways = (
        score(files, predictions),
        score(files, predictions, exact=True),
        score(counted(files), predictions),
    )
    lines = [
        f"{'':12}{'':9}{'':7}{'overlap':^20}{'exact':^20}{'doubtful counted':^20}",
        f"{'kind':12}{'labelled':>9}{'found':>7}" + f"{'P':>7}{'R':>6}{'F1':>6} " * 3,
    ]
    for kind in (*KINDS, "SECRET"):
        first = ways[0][kind]
        lines.append(
            f"{kind:12}{first.labelled:9}{first.found:7}"
            + "".join(
                f"{way[kind].precision:7.2f}{way[kind].recall:6.2f}{way[kind].f1:6.2f} "
                for way in ways
            )
        )
    return "\n".join(lines)


def layered(predictions: Sequence[Prediction]) -> list[Prediction]:
    """The same, each named by its layer instead of its rule."""
    return [replace(one, detector=one.layer) for one in predictions]


def layer_table(files: Sequence[LabelledFile], predictions: Sequence[Prediction]) -> str:
    """P/R/F1 in percent by overlap, of the first layer, of the first two, ..., in the order of `predictions`."""
    names = list(dict.fromkeys(one.layer for one in predictions))
    lines = [f"{'layers':16}" + "".join(f"{kind:>13}" for kind in (*KINDS, "SECRET"))]
    for number, name in enumerate(names):
        upto = [one for one in predictions if one.layer in names[: number + 1]]
        scores = score(files, upto)
        lines.append(
            f"{'+ ' * (number > 0) + name:16}"
            + "".join(
                f"{100 * one.precision:5.0f}/{100 * one.recall:3.0f}/{100 * one.f1:3.0f}"
                for one in (scores[kind] for kind in (*KINDS, "SECRET"))
            )
        )
    return "\n".join(lines)


def confusion_table(counts: Counter[tuple[str, str, str]]) -> str:
    """One line a detector and labelled kind, one column a predicted kind."""
    columns = (*KINDS, "nothing")
    rows = sorted({(detector, label) for detector, label, _ in counts})
    lines = [f"{'detector':24}{'labelled':20}" + "".join(f"{column:>12}" for column in columns)]
    for detector, label in rows:
        lines.append(
            f"{detector or '(none)':24}{label:20}"
            + "".join(f"{counts[detector, label, column] or '':>12}" for column in columns)
        )
    return "\n".join(lines)


def places(files: Sequence[LabelledFile], predictions: Sequence[Prediction]) -> Iterable[str]:
    """A line for each false alarm and miss: kind, coordinate, line number, byte range; never the value."""
    by_file: dict[int, list[Prediction]] = {}
    for one in predictions:
        by_file.setdefault(one.file, []).append(one)
    for index, file in enumerate(files):
        for kind in KINDS:
            kinds = SECRETS if kind in SECRETS else frozenset({kind})
            outcome = match(file, by_file.get(index, ()), kinds, exact=False)
            for what, spans in (("false alarm", outcome.false_alarms), ("miss", outcome.misses)):
                for span in spans:
                    if span.kind == kind:
                        line = file.text.count(b"\n", 0, span.start) + 1
                        detector = getattr(span, "detector", "")
                        yield (
                            f"{what}\t{kind}\t{file.package}\t{file.path}:{line}\t"
                            f"{span.start}-{span.end}\t{detector}"
                        )


def restricted(
    files: Sequence[LabelledFile],
    predictions: Sequence[Prediction],
    is_in: Callable[[LabelledFile], bool],
) -> tuple[list[LabelledFile], list[Prediction]]:
    """Part of the set and the predictions of its files, renumbered."""
    places_ = {old: new for new, old in enumerate(i for i, f in enumerate(files) if is_in(f))}
    return (
        [files[old] for old in places_],
        [replace(one, file=places_[one.file]) for one in predictions if one.file in places_],
    )


def of_split(split: str) -> Callable[[LabelledFile], bool]:
    """Whether a file is of this half."""
    return lambda file: file.split == split


def is_source(file: LabelledFile) -> bool:
    """Whether it is written in a programming language: no prose, data or markup."""
    name = file.path.rpartition("/")[2]
    verdict, _ = classify_text(name, file.text.decode("utf-8", "replace"))
    return verdict.language_type == "programming"


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("predictions", type=Path, help="JSON lines")
    parser.add_argument("--split", choices=("dev", "test"), help="one half only")
    parser.add_argument("--list", action="store_true", help="places of misses and false alarms")
    args, files = parse_with_files(parser, argv)
    rows = [Prediction(**json.loads(line)) for line in args.predictions.read_text().splitlines()]
    for split in (args.split,) if args.split else ("dev", "test"):
        half, found = restricted(files, rows, of_split(split))
        sys.stdout.write(f"\n{split}: {len(half)} files\n{table(half, found)}\n\n")
        sources, in_sources = restricted(half, found, is_source)
        sys.stdout.write(
            f"{split}: its {len(sources)} source files\n{table(sources, in_sources)}\n\n"
        )
        if any(one.layer for one in found):
            of_layers = confusion_table(confusion(half, layered(found)))
            sys.stdout.write(f"{layer_table(half, found)}\n\n{of_layers}\n\n")
        sys.stdout.write(confusion_table(confusion(half, found)) + "\n")
        if args.list:
            sys.stdout.writelines(line + "\n" for line in places(half, found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
