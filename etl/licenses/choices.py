"""Does a text offer a choice between the licenses in it?    preamble, expressions -> bool

An offer counts only in its own words: a sentence that speaks of the whole and names each license.
`GPL, or a commercial license` above the text of a bundled part is no offer of that part's license.
"""

from __future__ import annotations

import re

from etl.licenses import naming

MAX_CHOICE_CHARS = 3000  # of a preamble; beyond it nobody offers a choice

_CHOICE = re.compile(
    r"\bdual[- ]?licen[cs]|\beither (?:of )?(?:the|these|an?)?[^.]{0,80}?licen[cs]e|your choice of"
    r"|at your (?:option|choice)(?!\)?,? any (?:later|newer))|\bchoose (?:either|one|between)"
    r"|licen[cs]ed under (?:either|any) |\bdisjunctive",
    re.IGNORECASE,
)
_OF_A_PART = re.compile(r"\b(?:examples?|documentation|portions?|parts?|some|recipes)\b", re.I)
_SENTENCE_END = re.compile(r"\.\s+(?=[A-Z])")
_NOT_OF_TEXTS = re.compile(  # the other choice is none of the texts, or one of them is a part's
    r"commercial|proprietary|\bpaid\b|\binclud|bundle|contain|third[- ]part|3rd[- ]part", re.I
)
_SPELLED = {  # family of ids -> what a sentence calls it, beside the id's own letters
    "MPL": "mozilla", "EPL": "eclipse", "BSL": "boost", "PSF": "python", "CC0": "creative commons",
    "CDDL": "common development", "OFL": "open font", "EUPL": "european union", "MIT": "expat",
    "AFL": "academic free", "UPL": "universal permissive",
}  # fmt: skip


def offers_choice(preamble: str, expressions: list[str]) -> bool:
    """One sentence says of the whole that one may choose, and names each of the licenses.

    `preamble` is what stands before the first license text: an offer after it is of a part.
    """
    flat = " ".join(preamble[:MAX_CHOICE_CHARS].split())
    for sentence in _SENTENCE_END.split(flat):
        match = _CHOICE.search(sentence)
        is_of_whole = match is not None and not (
            _OF_A_PART.search(sentence[: match.start()]) or _NOT_OF_TEXTS.search(sentence)
        )
        if is_of_whole and _names_each(sentence, expressions):
            return True
    return False


def _names_each(sentence: str, expressions: list[str]) -> bool:
    """Two licenses of one family are not told apart, and so are not named."""
    families = {name.partition("-")[0] for name in expressions}
    gnu = {name.partition("-")[0] for name in naming.gnu_licenses(sentence)}
    named_ones = {
        family
        for family in families
        if family in gnu
        or ("GPL" not in family and re.search(_spellings(family), sentence, re.IGNORECASE))
    }
    return len(families) == len(expressions) and named_ones == families


def _spellings(family: str) -> str:
    return rf"\b(?:{re.escape(family)}|{_SPELLED.get(family, re.escape(family))})(?![a-z])"
