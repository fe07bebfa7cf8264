"""The kernels of near-dedup against plain Python, on random texts, sketches and graphs."""

from __future__ import annotations

import itertools
import random
import re
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from etl.errors import ContractError
from etl.facts.minhash import signatures
from etl.near_dedup import bands, blocks, greedy, similarity
from etl.near_dedup.config import Bounds, NearDedupConfig, config_of
from etl.near_dedup.contents import is_one_of
from etl.near_dedup.elect import Edges, elect, in_rank_order, least_rows

CONFIG = NearDedupConfig()


def shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return {tuple(words[i : i + 5]) for i in range(len(words) - 4)}


def jaccard(one: set[tuple[str, ...]], two: set[tuple[str, ...]]) -> float:
    return len(one & two) / len(one | two)


def families(seed: int, count: int = 12) -> list[str]:
    """Texts in families: copies of one text with a few words changed."""
    draw = random.Random(seed)
    words = [f"word{i}" for i in range(60)] + ["é", "日本", "_x1"]
    texts = []
    for _ in range(count):
        base = [draw.choice(words) for _ in range(draw.randint(5, 150))]
        for _ in range(draw.randint(1, 6)):
            copy = list(base)
            for _ in range(draw.randint(0, 5)):
                copy[draw.randrange(len(copy))] = draw.choice(words)
            texts.append(draw.choice([" ", "\n", ", "]).join(copy))
    draw.shuffle(texts)
    return texts


def sketches_of(texts: list[str]) -> bands.Sketches:
    found = signatures(pa.array(texts)).field("sketch").to_pylist()
    return np.stack([np.frombuffer(sketch, "<u4") for sketch in found])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_similarities_are_those_of_python_sets(seed: int) -> None:
    texts = families(seed, 6)
    values, offsets = similarity.shingle_sets(pa.array(texts))
    truth = [shingles(text) for text in texts]
    assert np.diff(offsets).tolist() == [len(found) for found in truth]
    assert all((np.diff(values[a:b]) > 0).all() for a, b in itertools.pairwise(offsets))
    left, right = np.triu_indices(len(texts), 1)
    found = similarity.similarities(values, offsets, left, right, 0.7)
    for i, j, score in zip(left, right, found, strict=True):
        exact = jaccard(truth[i], truth[j])
        assert score == (exact if exact >= 0.7 else -1.0)


def test_empty_null_and_short_contents_have_no_shingles() -> None:
    content = pa.array(["", None, "one two three four", "a b c d e"])
    _, offsets = similarity.shingle_sets(content)
    assert np.diff(offsets).tolist() == [0, 0, 0, 1]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), threshold=st.sampled_from([0.7, 0.8, 0.95]))
def test_pivots_and_pairs_are_those_of_a_comparison_of_each_with_each(
    seed: int, threshold: float
) -> None:
    """Above 32 pivots the index is used, below it is not: both are tried."""
    texts = families(seed, 5 + seed % 30)
    truth = [shingles(text) for text in texts]
    values, offsets = similarity.shingle_sets(pa.array(texts))
    sketches = sketches_of(texts)
    scheme = (CONFIG.bands, CONFIG.rows, CONFIG.min_agreement)
    edges = {}
    for i, j in itertools.combinations(range(len(texts)), 2):
        score = jaccard(truth[i], truth[j])
        is_compared = similarity.shares_band(sketches, i, j, *scheme[:2])
        if score >= 0.7 and is_compared and similarity.agreement(sketches, i, j) >= scheme[2]:
            edges[i, j] = score
    demanded = np.arange(len(texts)) % 5 != 3
    pivots: list[int] = []
    for i in np.flatnonzero(demanded).tolist():
        if not any(edges.get((k, i), 0) >= threshold for k in pivots):
            pivots.append(i)
    found = greedy.compare(
        values, offsets, sketches, demanded, np.zeros(len(texts), bool), 0.7, threshold, scheme
    )
    assert np.flatnonzero(found.is_pivot).tolist() == pivots
    pairs = [
        ((min(a, b), max(a, b)), score)
        for a, b, score in zip(
            found.pivot.tolist(), found.other.tolist(), found.similarity.tolist(), strict=True
        )
    ]
    assert len(pairs) == len(dict(pairs))
    assert dict(pairs) == {pair: score for pair, score in edges.items() if set(pair) & set(pivots)}


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_each_pair_in_a_bucket_is_a_candidate_or_deferred_to_one_block(data: st.DataObject) -> None:
    rows = data.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), min_size=1, max_size=60)
    )
    kinds_of = data.draw(st.lists(st.integers(0, 2), min_size=13, max_size=13))
    limits = (data.draw(st.integers(2, 6)), data.draw(st.integers(1, 12)))
    hashes = np.array([bucket for bucket, _ in rows], np.uint64)
    documents = np.array([document for _, document in rows], np.int64)
    kinds = np.array([kinds_of[document] for _, document in rows], np.uint8)
    found = bands.find(hashes, documents, kinds, limits)
    candidates = set(zip(found.left.tolist(), found.right.tolist(), strict=True))
    assert len(candidates) == len(found.left)
    ties = np.concatenate((found.star, found.member)).tolist()
    block = dict(
        zip(*(column.tolist() for column in blocks.components(found.star, found.member)), strict=True)
    )  # fmt: skip
    deferred = set(found.deferred.tolist())
    held = {document for _, document in rows if kinds_of[document] == bands.DEFERRED}
    unverified = set(ties) | deferred | held
    for bucket in range(4):
        members = {document for place, document in rows if place == bucket}
        for one, two in itertools.combinations(sorted(members), 2):
            roles = (kinds_of[one], kinds_of[two])
            if bands.NEW not in roles or (one, two) in candidates:
                continue
            assert {one, two} <= unverified
            assert block[one] == block[two]
    for one, two in candidates:
        assert bands.NEW in (kinds_of[one], kinds_of[two])


def test_a_full_bucket_costs_as_much_as_it_holds() -> None:
    def find(count: int) -> bands.Found:
        hashes, kinds = np.full(count, 7, np.uint64), np.zeros(count, np.uint8)
        return bands.find(hashes, np.arange(count), kinds, (64, 100_000))

    find(100)  # compiled
    start = time.process_time()
    found = find(300_000)
    assert time.process_time() - start < 5  # 0.1 s; looking at each pair takes 100 s
    assert len(found.left) == 0
    assert sorted(found.member) == list(range(1, 300_000))


@settings(max_examples=50, deadline=None)
@given(
    pairs=st.lists(st.tuples(st.integers(-9, 9), st.integers(-9, 9)), min_size=1, max_size=30),
    limit=st.sampled_from([1, 300, 10_000]),
)
def test_each_pair_lies_in_one_block_that_holds_both_its_documents(
    pairs: list[tuple[int, int]], limit: int
) -> None:
    left = np.array([min(pair) for pair in pairs], np.int64)
    right = np.array([max(pair) for pair in pairs], np.int64)
    made = blocks.blocks_of(left, right, 100, limit)
    assert sorted(zip(made.left, made.right, strict=True)) == sorted(zip(left, right, strict=True))
    assert made.pair_block.tolist() == sorted(made.pair_block.tolist())
    placed = set(zip(made.block.tolist(), made.document.tolist(), strict=True))
    assert len(placed) == len(made.block)
    for block, one, two in zip(made.pair_block.tolist(), made.left, made.right, strict=True):
        assert {(block, int(one)), (block, int(two))} <= placed


EDGE = st.tuples(st.integers(0, 14), st.integers(0, 14), st.sampled_from([0.7, 0.75, 0.8, 1.0]))


def elected(
    order: list[int], edges: list[tuple[int, int, float]]
) -> dict[int, tuple[int, float, int]]:
    """Document -> the kept one, similarity, and the least document of its cluster."""
    columns = [np.array(column) for column in zip(*edges, strict=True)] if edges else [[], [], []]
    left, right = (np.asarray(column, np.int64) for column in columns[:2])
    found = elect(np.array(order, np.int64), Edges(left, right, np.asarray(columns[2], np.float64)))
    clusters: dict[int, list[int]] = {}
    for document, cluster in zip(order, found.cluster.tolist(), strict=True):
        clusters.setdefault(cluster, []).append(document)
    return {
        document: (order[twin], score, min(clusters[cluster]))
        for document, twin, score, cluster in zip(
            order, found.twin.tolist(), found.similarity.tolist(), found.cluster.tolist(), strict=True
        )
    }  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(edges=st.lists(EDGE, max_size=40), order=st.permutations(range(15)), data=st.data())
def test_the_election_keeps_in_rank_order_what_is_unlike_all_that_is_kept(
    edges: list[tuple[int, int, float]], order: list[int], data: st.DataObject
) -> None:
    edges = [(a, b, s) for a, b, s in edges if a != b]
    scores = {}
    for one, two, score in edges:
        scores[frozenset((one, two))] = max(score, scores.get(frozenset((one, two)), 0))
    edges = [(*sorted(pair), score) for pair, score in scores.items()]  # type: ignore[misc]
    kept: list[int] = []
    expected: dict[int, tuple[int, float]] = {}
    for document in order:
        near = [
            (-scores.get(frozenset((document, k)), 0), place, k) for place, k in enumerate(kept)
        ]
        near = [found for found in near if found[0] < 0]
        if near:
            expected[document] = (min(near)[2], -min(near)[0])
        else:
            kept.append(document)
            expected[document] = (document, 1.0)
    found = elected(order, edges)
    assert {document: row[:2] for document, row in found.items()} == expected

    shuffled = data.draw(st.permutations(edges))
    assert elected(order, shuffled) == found
    place = data.draw(st.integers(0, 15))
    with_stranger = elected([*order[:place], 99, *order[place:]], [*edges, (99, 1000, 0.9)])
    assert with_stranger.pop(99) == (99, 1.0, 99)
    assert with_stranger == found


def test_a_chain_drops_every_second_version_and_is_no_cluster_of_one_kept() -> None:
    edges = [(i, i + 1, 0.75) for i in range(9)]
    found = elected(list(range(10)), edges)
    assert [row[0] for row in found.values()] == [0, 0, 2, 2, 4, 4, 6, 6, 8, 8]


def test_what_the_bounds_lose_is_known() -> None:
    """1 - (1 - s^6)^42 by hand; the bound of the sketch from the binomial's tail."""
    assert CONFIG.probability(0.7) == pytest.approx(0.99479, abs=1e-5)
    assert CONFIG.probability(0.5) == pytest.approx(0.48389, abs=1e-5)
    assert CONFIG.min_agreement == 143  # P(Bin(256, 0.7) < 143) = 6.5e-7; below 144: 1.2e-6
    assert CONFIG.min_agreement / 256 == pytest.approx(0.5586, abs=1e-4)


def test_a_scheme_is_read_back_and_a_strange_one_is_refused() -> None:
    config = NearDedupConfig(floor=0.65, bands=25, rows=10)
    assert config_of(config.scheme, Bounds()) == config
    with pytest.raises(ContractError, match="run near_dedup"):
        config_of("something else", Bounds())


def test_more_bands_than_positions_are_refused() -> None:
    with pytest.raises(ValidationError, match="at most 256"):
        NearDedupConfig(bands=52, rows=5)


def test_ids_are_looked_up_by_a_shallow_tree_of_short_lists() -> None:
    """A list of a thousand overflows the stack of the thread that reads Parquet, and the job hangs."""
    for count in (1, 32, 33, 1000, 1024):
        ids = [f"{i:064x}" for i in range(count)]
        term = is_one_of(ids)
        lists = [re.findall("'([0-9a-f]+)'", some) for some in re.findall(r"IN \(([^)]*)\)", term)]
        assert [one for some in lists for one in some] == ids
        assert max(map(len, lists)) <= 32
        depth = deepest = 0
        for sign in term:
            depth += (sign == "(") - (sign == ")")
            deepest = max(deepest, depth)
        assert deepest <= 6


def test_what_is_met_is_what_is_among_it() -> None:
    draw = np.random.default_rng(3)
    runs = [np.sort(draw.integers(0, 1 << 63, size, np.uint64) * 2) for size in (0, 40, 1, 0, 200)]
    runs[1][5:9] = runs[1][5]
    hashes = np.concatenate(runs)
    bounds = np.append(0, np.cumsum([len(run) for run in runs]))
    others = draw.integers(0, 1 << 63, 50, np.uint64)
    for met in (
        np.unique(np.append(hashes[::7], others)),
        others[:0],
        hashes[-1:],
        np.unique(hashes),
    ):
        found = bands.are_met(hashes, bounds, met)
        assert found.tolist() == np.isin(hashes, met).tolist()


WORD = st.sampled_from([-(2**63), -7, -1, 0, 1, 255, 256, 2**62]) | st.integers(-(2**63), 2**63 - 1)


@settings(max_examples=200, deadline=None)
@given(ordered=st.lists(WORD, max_size=60), others=st.lists(WORD, max_size=20))
def test_places_are_of_the_first_that_is_equal(ordered: list[int], others: list[int]) -> None:
    ordered.sort()
    wanted = ordered[::2] + others
    for dtype, least in ((np.int64, 0), (np.uint64, -(2**63))):
        values, asked = (
            np.array([word - least for word in words], dtype) for words in (ordered, wanted)
        )
        expected = [ordered.index(word) if word in ordered else -1 for word in wanted]
        assert bands.places_in(values, asked).tolist() == expected


ID = st.tuples(*[st.sampled_from([-1, 0, 1, 256])] * 4)


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(st.sampled_from([0, 3, 1 << 60]), ID), unique=True, max_size=30))
def test_the_order_of_rank_is_by_rank_and_the_ids_hex(
    rows: list[tuple[int, tuple[int, ...]]],
) -> None:
    rank = np.array([rank for rank, _ in rows], np.int64)
    ids = np.array([words for _, words in rows], np.int64).reshape(-1, 4)
    expected = sorted(range(len(rows)), key=lambda row: (rows[row][0], ids[row].tobytes().hex()))
    assert in_rank_order(rank, ids).tolist() == expected


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 5), ID), unique_by=lambda row: row[1], max_size=30))
def test_a_cluster_is_named_by_its_least_id(rows: list[tuple[int, tuple[int, ...]]]) -> None:
    cluster = np.array([min(one, len(rows) - 1) for one, _ in rows], np.int64)
    ids = np.array([words for _, words in rows], np.int64).reshape(-1, 4)
    found = least_rows(cluster, ids.view(np.uint8))
    for one in range(len(rows)):
        members = [row for row in range(len(rows)) if cluster[row] == one]
        least = min(members, key=lambda row: ids[row].tobytes().hex(), default=-1)
        assert found[one] == least
