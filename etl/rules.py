"""When is a file unfit, whatever its copies are?    columns of a file and its facts -> failing, found

One class a rule: its settings, when a file fails it, and what is shown as evidence. Terms are SQL
over the columns that `etl.eligibility.described` gives. A null fact never fails a rule: what is not
known is decided by the rule that says so (`binary`, `unknown_language`, `license`).
Source of the bounds: The Stack v2 / StarCoder2 (arXiv 2402.19173), section 2 and 3.
"""

from __future__ import annotations

import csv
from importlib import resources
from typing import Any

from pydantic import (
    Field,
    PrivateAttr,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)
from pyspark.sql import Column
from pyspark.sql import functions as F

from etl.config import Config

CONTAMINATED_SHOWN = 3  # tasks in the evidence


class Rule(Config):
    """A rule that can be switched off. `failing` is true where the file fails it."""

    enabled: bool = True

    def failing(self) -> Column:
        raise NotImplementedError

    def found(self) -> Column:
        """What was found and what is allowed, as text; no content of the file."""
        raise NotImplementedError


def _above(column: str, bound: float) -> Column:
    return F.concat(F.lit(f"{column} "), F.col(column).cast("string"), F.lit(f" > {bound:g}"))


def _below(column: str, bound: float) -> Column:
    return F.concat(F.lit(f"{column} "), F.col(column).cast("string"), F.lit(f" < {bound:g}"))


def _language_in(languages: tuple[str, ...]) -> Column:
    return F.coalesce(F.col("language").isin(*languages), F.lit(False))


class Binary(Rule):
    """Not text: NUL bytes in what is not UTF-16/32, or no encoding found."""

    def failing(self) -> Column:
        return F.col("status") == "binary"

    def found(self) -> Column:
        return F.lit("not text in any encoding")


class Oversize(Rule):
    """Over the size limit of ingest (10 MiB of raw bytes)."""

    def failing(self) -> Column:
        return F.col("status") == "oversize"

    def found(self) -> Column:
        return F.concat(F.lit("size_bytes "), F.col("size_bytes").cast("string"))


class NotAFile(Rule):
    """A link, a submodule, a device, or a file that could not be read."""

    def failing(self) -> Column:
        return F.col("status").isin("link", "unreadable")

    def found(self) -> Column:
        return F.concat(F.lit("status "), F.col("status"))


class Empty(Rule):
    """Nothing but blanks and line ends: no alphanumeric character and no length."""

    def failing(self) -> Column:
        return F.col("num_chars") == 0

    def found(self) -> Column:
        return F.lit("num_chars 0")


class License(Rule):
    """The license that governs the file is not among the admitted categories."""

    categories: tuple[str, ...] = Field(
        default=("permissive",),
        description="admitted: permissive, weak_copyleft, strong_copyleft, other",
    )
    admit_unlicensed: bool = Field(
        default=False, description="also files for which no license was found, as StarCoder2 did"
    )

    def failing(self) -> Column:
        admitted = (*self.categories, "none") if self.admit_unlicensed else self.categories
        return ~F.coalesce("license_category", F.lit("none")).isin(*admitted)

    def found(self) -> Column:
        return F.concat(
            F.coalesce("license_category", F.lit("none")),
            F.lit(": "),
            F.coalesce("license_expression", F.lit("no license found")),
        )


class Vendored(Rule):
    """In a copy of somebody else's code, by its path."""

    def failing(self) -> Column:
        return F.col("is_vendored")

    def found(self) -> Column:
        return F.lit("its path lies in vendored code")


class UnknownLanguage(Rule):
    """No language can be given to the file."""

    def failing(self) -> Column:
        return (F.col("status") == "stored") & F.col("language").isNull()

    def found(self) -> Column:
        return F.lit("no language by name, extension or content")


def _excluded_pairs() -> tuple[tuple[str, str], ...]:
    text = resources.files("etl").joinpath("data/excluded_extensions.csv").read_text("utf-8")
    return tuple((row["language"], row["extension"]) for row in csv.DictReader(text.splitlines()))


class ExcludedExtension(Rule):
    """Its (language, extension) was left out after looking at samples."""

    pairs: tuple[tuple[str, str], ...] = Field(
        default_factory=_excluded_pairs,
        description="(language, extension); default: the 179 of The Stack v2",
    )

    def failing(self) -> Column:
        pair = F.concat_ws("|", "language", "extension")
        return F.col("language").isNotNull() & pair.isin(*("|".join(pair) for pair in self.pairs))

    def found(self) -> Column:
        return F.concat(F.col("language"), F.lit(" in ."), F.col("extension"))


class MaxLines(Rule):
    """Too many lines."""

    max_lines: int = Field(default=100_000, ge=1, description="lines of a file")

    def failing(self) -> Column:
        return F.col("num_lines") > self.max_lines

    def found(self) -> Column:
        return _above("num_lines", self.max_lines)


class LongLines(Rule):
    """Lines are too long on average, or one line is."""

    max_average: float = Field(default=100, gt=0, description="characters a line on average")
    max_line: int = Field(default=1000, ge=1, description="characters of the longest line")
    exempt_max_line: int = Field(
        default=100_000, ge=1, description="the only bound of the exempt languages, characters"
    )
    exempt: tuple[str, ...] = (
        "HTML", "JSON", "Markdown", "Roff", "Roff Manpage", "SMT", "TeX", "Text", "XML",
    )  # fmt: skip

    def failing(self) -> Column:
        is_long = (F.col("avg_line_length") > self.max_average) | (
            F.col("max_line_length") > self.max_line
        )
        is_very_long = F.col("max_line_length") > self.exempt_max_line
        return F.when(_language_in(self.exempt), is_very_long).otherwise(is_long)

    def found(self) -> Column:
        average = F.col("avg_line_length") > self.max_average
        return (
            F.when(_language_in(self.exempt), _above("max_line_length", self.exempt_max_line))
            .when(average, _above("avg_line_length", self.max_average))
            .otherwise(_above("max_line_length", self.max_line))
        )


class Autogenerated(Rule):
    """Generated by a program, by Linguist's rules or by what its first five lines say."""

    def failing(self) -> Column:
        return F.coalesce("is_generated", F.lit(False)) | F.coalesce(
            "has_generated_marker", F.lit(False)
        )

    def found(self) -> Column:
        return F.when(F.col("is_generated"), F.lit("generated by Linguist's rules")).otherwise(
            F.lit("a marker such as 'auto-generated' in its first 5 lines")
        )


class AlphaFraction(Rule):
    """Too few alphabetic characters."""

    min_fraction: float = Field(default=0.25, ge=0, le=1, description="of all characters")
    alphanumeric: tuple[str, ...] = Field(
        default=("Motorola 68K Assembly", "WebAssembly"),
        description="languages measured by alphanumeric characters instead",
    )

    def failing(self) -> Column:
        fraction = F.when(
            _language_in(self.alphanumeric), F.col("alphanumeric_fraction")
        ).otherwise(F.col("alphabetic_fraction"))
        return (F.col("num_chars") > 0) & (fraction < self.min_fraction)

    def found(self) -> Column:
        return F.when(
            _language_in(self.alphanumeric), _below("alphanumeric_fraction", self.min_fraction)
        ).otherwise(_below("alphabetic_fraction", self.min_fraction))


class EncodedData(Rule):
    """Base64, hex or Unicode escapes make a long run, or most of the file."""

    max_run: int = Field(default=1024, ge=1, description="characters of one run")
    max_fraction: float = Field(default=0.5, ge=0, le=1, description="of all characters")

    def failing(self) -> Column:
        fraction = F.greatest("base64_fraction", "hex_fraction", "unicode_escape_fraction")
        return (F.col("max_encoded_run") > self.max_run) | (fraction > self.max_fraction)

    def found(self) -> Column:
        is_run = F.col("max_encoded_run") > self.max_run
        return F.when(is_run, _above("max_encoded_run", self.max_run)).otherwise(
            F.lit(f"encoded characters are more than {self.max_fraction:g} of the file")
        )


class LanguageRule(Rule):
    """What holds for one language only: data of many lines, HTML without text, Text that is none."""

    max_lines: dict[str, int] = Field(
        default={
            "Text": 512,
            "JSON": 512,
            "YAML": 512,
            "Web Ontology Language": 512,
            "Graphviz (DOT)": 512,
        },
        description="lines of a file, by language",
    )
    html_min_visible_chars: int = Field(default=100, ge=0, description="visible characters")
    html_min_visible_fraction: float = Field(default=0.2, ge=0, le=1, description="of all")
    text_name_parts: tuple[str, ...] = ("requirement",)
    text_stems: tuple[str, ...] = ("readme", "notes", "todo", "description", "cmakelists")

    def _terms(self) -> list[tuple[Column, Column]]:
        language = F.col("language")
        terms = []
        for name, bound in sorted(self.max_lines.items()):
            too_many = (language == name) & (F.col("num_lines") > bound)
            terms.append((too_many, F.concat(F.lit(f"{name}: "), _above("num_lines", bound))))
        few = F.col("visible_text_chars") < self.html_min_visible_chars
        thin = F.col("visible_text_fraction") < self.html_min_visible_fraction
        is_html = language == "HTML"
        chars = _below("visible_text_chars", self.html_min_visible_chars)
        fraction = _below("visible_text_fraction", self.html_min_visible_fraction)
        terms.append((is_html & few, F.concat(F.lit("HTML: "), chars)))
        terms.append((is_html & thin, F.concat(F.lit("HTML: "), fraction)))
        basename = F.lower("basename")
        stem = F.regexp_replace(basename, r"\.[^.]*$", "")
        is_known = stem.isin(*self.text_stems)
        for part in self.text_name_parts:
            is_known = is_known | basename.contains(part)
        no_prose = (language == "Text") & ~is_known
        terms.append((no_prose, F.lit("Text: its name is none of those that are kept")))
        return terms

    def failing(self) -> Column:
        failing = F.lit(False)
        for term, _ in self._terms():
            failing = failing | F.coalesce(term, F.lit(False))
        return failing

    def found(self) -> Column:
        return F.coalesce(*(F.when(term, text) for term, text in self._terms()))


class Contaminated(Rule):
    """Holds the description or the solution of a benchmark's task: a score would be of what was read."""

    def failing(self) -> Column:
        return F.size("contaminated_by") > 0

    def found(self) -> Column:
        return F.concat_ws(", ", F.slice("contaminated_by", 1, CONTAMINATED_SHOWN))


class ExactDuplicate(Rule):
    """Another file holds the same text and is kept in its place (decided by the election)."""

    def failing(self) -> Column:
        return F.lit(False)

    def found(self) -> Column:
        return F.lit(None).cast("string")


class NearDuplicate(Rule):
    """A file of another text is kept in its place: their similarity is verified (the election)."""

    threshold: float = Field(
        default=0.7, gt=0, le=1, description="Jaccard similarity of the sets of 5-word shingles"
    )

    def failing(self) -> Column:
        return F.lit(False)

    def found(self) -> Column:
        return F.lit(None).cast("string")


class Rules(Config):
    """The rules in their order: those named in the file first, as written there, then the rest."""

    binary: Binary = Binary()
    oversize: Oversize = Oversize()
    not_a_file: NotAFile = NotAFile()
    empty: Empty = Empty()
    license: License = License()
    vendored: Vendored = Vendored()
    unknown_language: UnknownLanguage = UnknownLanguage()
    excluded_extension: ExcludedExtension = ExcludedExtension()
    autogenerated: Autogenerated = Autogenerated()
    max_lines: MaxLines = MaxLines()
    long_lines: LongLines = LongLines()
    alpha_fraction: AlphaFraction = AlphaFraction()
    encoded_data: EncodedData = EncodedData()
    language_rule: LanguageRule = LanguageRule()
    contaminated: Contaminated = Contaminated()
    exact_duplicate: ExactDuplicate = ExactDuplicate()
    near_duplicate: NearDuplicate = NearDuplicate()

    _written: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _keep_order(cls, data: Any, handler: Any) -> Any:
        rules = handler(data)
        if isinstance(data, dict):
            rules._written = tuple(data)
        return rules

    @model_serializer(mode="wrap")
    def _in_order(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = handler(self)
        return {name: fields[name] for name in self.order}

    @property
    def order(self) -> tuple[str, ...]:
        rest = [name for name in type(self).model_fields if name not in self._written]
        return (*self._written, *rest)

    def enabled(self) -> list[tuple[str, Rule]]:
        """Name and rule of those that are switched on, in order."""
        named = [(name, getattr(self, name)) for name in self.order]
        return [(name, rule) for name, rule in named if rule.enabled]
