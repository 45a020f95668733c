"""Duplicates: edits are found, strangers are not, and neither order nor growth moves a cluster."""

import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twin_assets.core.hashing import text_hash
from twin_assets.core.records import CleanedDocument
from twin_assets.feature.corpus.cleaning.normalise import normalise, normalise_all
from twin_assets.feature.corpus.duplicates.dedup import DedupResult, find_duplicates
from twin_assets.feature.corpus.duplicates.near import (
    BANDS,
    FULL_BUCKET,
    HASHES,
    NEIGHBOURS,
    candidate_pairs,
    jaccard,
    near_pairs,
)
from twin_assets.feature.corpus.duplicates.semantic import semantic_pairs

ROOT = Path(__file__).resolve().parents[3]
sys.path.append(str(ROOT / "benchmarks"))

from planted import plant, score  # noqa: E402

RNG = np.random.default_rng(5)
LEXICON = ["".join(RNG.choice(list("abcdefghijklmnop"), 6)) for _ in range(4000)]


def prose(seed: int, words: int = 120) -> list[str]:
    rng = np.random.default_rng(seed)
    return [LEXICON[i] for i in rng.integers(0, len(LEXICON), words)]


def document(text: str, doc_id: str, **changes: object) -> CleanedDocument:
    fields: dict[str, object] = {
        "persona": "runa", "source": "medium", "category": "article", "doc_id": doc_id, "url": f"https://x/{doc_id}",
        "content_hash": text_hash(text), "voice_text": text, "search_text": text, "words": len(text.split()),
    }  # fmt: skip
    return CleanedDocument.model_validate(fields | changes)


def nothing_alike(texts: list[str]) -> np.ndarray:
    return np.zeros((len(texts), 2), dtype=np.float32)


def test_what_was_said_in_public_stays_public_with_its_public_address() -> None:
    text = " ".join(prose(11))
    found = find_duplicates(
        [document(text, "a-vault", visibility="private"), document(text, "b-blog"), document(text, "c-post", visibility="connections")],
        nothing_alike,
    )  # fmt: skip
    [kept] = found.documents
    assert (kept.doc_id, kept.visibility, kept.url) == ("b-blog", "public", "https://x/b-blog")
    assert kept.duplicates == ["a-vault", "c-post"]


def test_a_closed_version_with_more_in_it_never_takes_the_place_of_the_open_one() -> None:
    words = prose(12, 160)
    shorter, longer = " ".join(words[:150]), " ".join([*words, "canary"])
    found = find_duplicates(
        [document(longer, "draft", visibility="private"), document(shorter, "post")], nothing_alike
    )
    [kept] = found.documents
    assert (kept.doc_id, kept.visibility, kept.voice_text) == ("post", "public", shorter)
    # Among equally open ones the longest is kept, and stays as closed as it is.
    closed = find_duplicates(
        [document(longer, "draft", visibility="private"), document(shorter, "note", visibility="private")],
        nothing_alike,
    )
    assert [(d.doc_id, d.visibility) for d in closed.documents] == [("draft", "private")]


def members(result: DedupResult) -> list[list[str]]:
    return sorted(c.members for c in result.clusters)


def day(number: int) -> datetime:
    return datetime(2024, 1, number, tzinfo=UTC)


# --- what is a duplicate ---------------------------------------------------------------------------------


def test_planted_edits_are_found_and_strangers_are_not() -> None:
    corpus = plant(2_000, seed=3)
    found = near_pairs(normalise_all(corpus.texts))
    recall, precision = score(2_000, found.left, found.right, corpus.pairs)
    assert recall >= 0.97
    assert precision >= 0.99


def test_planting_makes_the_edits_it_says() -> None:
    corpus = plant(500, seed=1)
    texts = pa.array(normalise_all(corpus.texts), pa.large_string())
    planted = jaccard([texts], corpus.pairs[:, 0], corpus.pairs[:, 1])
    assert corpus.pairs.shape == (50, 2)
    assert len(np.unique(corpus.pairs)) == 100
    # With 5% of the words replaced 0.95³ = 0.86 of the 3-grams are left: a Jaccard of 0.86 / (2 - 0.86) = 0.75.
    assert 0.3 < planted.min() < planted.max() < 0.9
    assert plant(500, seed=1).texts == corpus.texts


def test_a_cross_post_is_one_document_whatever_its_source_and_formatting() -> None:
    words = prose(1)
    here = document(" ".join(words), "a", source="medium", category="article", published_at=day(2))
    there = document(
        "**" + "  ".join(words).upper() + "!**", "b", source="linkedin", category="post", published_at=day(1)
    )
    (cluster,) = find_duplicates([here, there], nothing_alike).clusters
    assert (cluster.kind, cluster.similarity, cluster.members) == ("exact", 1.0, ["a", "b"])
    assert cluster.representative == "b"  # as long, and earlier


def test_the_longest_stays_then_the_earliest_then_the_smallest_id() -> None:
    text = " ".join(prose(1))
    longest = document(text + " and one more thing", "z", published_at=day(9))
    assert find_duplicates([document(text, "a"), longest], nothing_alike).documents[0].doc_id == "z"
    undated, dated = document(text, "a"), document(text, "b", published_at=day(9))
    assert find_duplicates([undated, dated], nothing_alike).documents[0].doc_id == "b"
    assert (
        find_duplicates([document(text, "b"), document(text, "a")], nothing_alike).documents[0].doc_id == "a"
    )


def test_a_chain_of_edits_is_one_cluster_named_by_its_weakest_link() -> None:
    versions = [prose(1)]
    for step in range(4):
        versions.append([*versions[-1][: 24 * step], *prose(step + 10, 24), *versions[-1][24 * step + 24 :]])
    texts = [" ".join(v) for v in versions]
    ends = jaccard([pa.array(texts, pa.large_string())], np.array([0]), np.array([4]))[0]
    assert ends < 0.2  # the ends alone would not be duplicates
    documents = [document(t, f"d{i}") for i, t in enumerate(texts)]
    documents.append(document(texts[4].title(), "d5"))
    (cluster,) = find_duplicates(documents, nothing_alike).clusters
    assert cluster.members == ["d0", "d1", "d2", "d3", "d4", "d5"]
    links = jaccard([pa.array(texts, pa.large_string())], np.arange(4), np.arange(1, 5))
    assert (cluster.kind, cluster.similarity) == ("near", round(float(links.min()), 3))


def test_a_second_way_round_does_not_weaken_a_cluster() -> None:
    text = " ".join(prose(1))
    documents = [document(text, "a"), document(text + ".", "b"), document(text + " again", "c")]
    (cluster,) = find_duplicates(documents, lambda texts: np.ones((len(texts), 1), np.float32)).clusters
    assert cluster.kind == "near"
    assert cluster.similarity > 0.95


def test_code_merges_only_where_every_character_is_the_same() -> None:
    code = "def f(x):\n    return x + 1\n" * 20
    documents = [
        document(code, "a", category="code"),
        document(code, "b", category="code"),
        document(code.replace("    ", "\t"), "c", category="code"),
        document(code, "d", category="article"),
    ]
    result = find_duplicates(documents, lambda texts: np.ones((len(texts), 1), np.float32))
    assert members(result) == [["a", "b"]]


def test_empty_one_word_and_wordless_documents() -> None:
    texts = {
        "a": "",
        "b": "",
        "c": "Mud",
        "d": "mud.",
        "e": "boat",
        "f": "⛴",
        "g": "⛵",
        "h": "⛵",
        "i": "boat mud",
    }
    result = find_duplicates([document(t, i) for i, t in texts.items()], nothing_alike)
    assert members(result) == [["a", "b"], ["c", "d"], ["g", "h"]]
    assert find_duplicates([], nothing_alike) == ([], [])
    assert len(find_duplicates([document("", "a")], nothing_alike).documents) == 1


def test_unicode_forms_scripts_and_case() -> None:
    assert normalise("Cafe\u0301 ＦＵＬＬ ﬁne") == normalise("CAFÉ full fine") == "café full fine"
    assert normalise("It's snake_case, x2!") == "it s snake_case x2"
    assert normalise("我喜欢渡轮。") == "我 喜欢 渡轮"
    assert normalise("Паром — это") == "паром это"
    text = (
        "渡轮每天早上六点从北岸出发载着邮件和面包还有三十一位乘客在潮水合适的时候穿过海峡然后在中午之前返回"
    )
    documents = [document(text, "a"), document(text.replace("六", "七"), "b"), document(text[::-1], "c")]
    assert members(find_duplicates(documents, nothing_alike)) == [["a", "b"]]


@given(st.lists(st.one_of(st.text(st.characters(max_codepoint=127)), st.text())))
def test_normalising_many_at_once_is_the_same(texts: list[str]) -> None:
    assert normalise_all(texts) == [normalise(t) for t in texts]
    for text in texts:
        assert normalise(text).split() == normalise(text).split(" ") or not normalise(text)


# --- boilerplate -----------------------------------------------------------------------------------------


def test_a_boilerplate_bucket_does_not_explode_and_still_finds_its_duplicates() -> None:
    n = 3_000
    hashes = np.random.default_rng(0).integers(0, 2**32, (n, HASHES), dtype=np.uint32)
    hashes[:, :9] = 7  # three bands that all documents share
    hashes[1::2, : BANDS * 2] = hashes[::2, : BANDS * 2]
    left, right = candidate_pairs(hashes)
    assert len(left) <= 3 * n * (NEIGHBOURS + 1) + n // 2
    assert (left < right).all()
    pairs = set(zip(left.tolist(), right.tolist(), strict=True))
    assert len(pairs) == len(left)
    assert {(i, i + 1) for i in range(0, n, 2)} <= pairs


def test_a_bucket_that_is_not_oversize_is_paired_completely() -> None:
    hashes = np.random.default_rng(0).integers(0, 2**32, (FULL_BUCKET, HASHES), dtype=np.uint32)
    hashes[:, :3] = 7
    left, _ = candidate_pairs(hashes)
    assert len(left) == FULL_BUCKET * (FULL_BUCKET - 1) // 2


def test_texts_that_share_a_sign_off_are_no_duplicates_and_mass_copies_are_one_cluster() -> None:
    sign_off = prose(0, 60)
    signed = [document(" ".join(prose(i + 100, 100) + sign_off), f"s{i:03}") for i in range(150)]
    copies = [document(" ".join([*prose(1), f"number {i}"]), f"c{i:03}") for i in range(300)]
    (cluster,) = find_duplicates(signed + copies, nothing_alike).clusters
    assert cluster.members == [f"c{i:03}" for i in range(300)]


# --- order and growth ------------------------------------------------------------------------------------


def mixed_corpus() -> list[CleanedDocument]:
    documents = []
    for i in range(12):
        words = prose(i)
        documents.append(document(" ".join(words), f"{text_hash(str(i))}", published_at=day(i + 1)))
        for copy in range(i % 4):
            edited = [*words[: 10 * copy], *prose(900 + 10 * i + copy, 8), *words[10 * copy + 8 :]]
            documents.append(document(" ".join(edited), text_hash(f"{i}/{copy}"), category="post"))
    copies = [document(" ".join([*prose(50), f"n{i}"]), f"copy{i}") for i in range(30)]
    return documents + copies + [document(copies[0].voice_text.upper(), "shout"), document("", "nothing")]


def embed_by_hash(texts: list[str]) -> np.ndarray:
    """One of 200 directions for each text, so that a few strangers share one."""
    return np.eye(200, dtype=np.float32)[[int(text_hash(t), 16) % 200 for t in texts]]


MIXED = mixed_corpus()
EXPECTED = find_duplicates(MIXED, embed_by_hash)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(len(MIXED))))
def test_any_order_gives_the_same_clusters(order: list[int]) -> None:
    assert find_duplicates([MIXED[i] for i in order], embed_by_hash) == EXPECTED


def test_every_document_is_a_representative_or_a_duplicate_of_one() -> None:
    placed = [i for d in EXPECTED.documents for i in (d.doc_id, *d.duplicates)]
    assert sorted(placed) == sorted(d.doc_id for d in MIXED)
    assert {c.kind for c in EXPECTED.clusters} >= {"near", "semantic"}


def test_a_later_copy_changes_no_cluster_id() -> None:
    text = " ".join(prose(1))
    alone = find_duplicates([document(text, "m", published_at=day(5))], nothing_alike).documents[0]
    for newcomer in ("a", "z"):
        later = document(text + " more", newcomer, published_at=day(6))
        undated = document(text + " less", newcomer * 2)
        grown = find_duplicates([later, alone, undated], nothing_alike).documents
        assert [d.cluster_id for d in grown] == [alone.cluster_id]


def test_an_older_copy_changes_no_cluster_id_that_is_known() -> None:
    text = " ".join(prose(1))
    first = find_duplicates([document(text, "m", published_at=day(5))], nothing_alike).documents[0]
    older = document(text, "a", published_at=day(1))
    assert find_duplicates([older, first], nothing_alike).documents[0].cluster_id != first.cluster_id
    (grown,) = find_duplicates([older, first], nothing_alike, known={"m": first.cluster_id}).documents
    assert grown.cluster_id == first.cluster_id


# --- semantic --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 6, 7, 8, 21, 50])
def test_blocks_miss_no_pair_at_their_edges(count: int) -> None:
    rng = np.random.default_rng(count)
    vectors = rng.normal(size=(count, 3)).astype(np.float32)
    vectors[count // 2 :] = vectors[: count - count // 2] + 0.05
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = rng.integers(50, 120, count)
    found = semantic_pairs(vectors, words, rows=7, columns=5, partners=count)
    expected = {
        (i, j)
        for i in range(count)
        for j in range(i + 1, count)
        if vectors[i] @ vectors[j] >= 0.95 and min(words[i], words[j]) >= 0.6 * max(words[i], words[j])
    }
    assert set(zip(found.left.tolist(), found.right.tolist(), strict=True)) == expected
    assert len(found.left) == len(expected)


def test_only_the_best_partners_stay_and_still_join_a_large_group() -> None:
    n = 400
    found = semantic_pairs(np.ones((n, 1), np.float32), np.full(n, 100), rows=64, columns=64, partners=4)
    assert len(found.left) <= 4 * n
    assert score(n, found.left, found.right, np.array([[0, n - 1], [3, 200]])).recall == 1


def test_a_retelling_joins_and_a_summary_does_not() -> None:
    documents = [document(" ".join(prose(i, words)), f"d{i}") for i, words in enumerate((100, 61, 59))]
    result = find_duplicates(documents, lambda texts: np.ones((len(texts), 1), np.float32))
    # 59 words are enough beside 61 but not beside 100: the group holds together through the middle one.
    (cluster,) = result.clusters
    assert (cluster.kind, cluster.members) == ("semantic", ["d0", "d1", "d2"])
    assert (
        find_duplicates([documents[0], documents[2]], lambda t: np.ones((len(t), 1), np.float32)).clusters
        == []
    )


def test_each_distinct_prose_text_is_embedded_once() -> None:
    seen: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        seen.extend(texts)
        return nothing_alike(texts)

    find_duplicates([*MIXED, document("x = 1", "code", category="code")], embed)
    assert len(seen) == len(MIXED) - 1
