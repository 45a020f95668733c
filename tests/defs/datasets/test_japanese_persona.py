"""A persona who writes Japanese, from its folder to its dataset: a real author's texts, which are not in the repository."""

import dagster as dg
import pytest

from twin_assets.core.datasets.store import latest_version, read_rows
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.words import count_words, has_unspaced, term_spans
from twin_assets.core.vectors import open_store
from twin_assets.definitions import defs
from twin_assets.defs.shared.resources import build_resources
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.feature.corpus.ngrams import shared_ngrams
from twin_assets.feature.instruct.tasks import FOLLOW_UP, MIN_ANSWER_WORDS, MIN_QUOTED_WORDS
from twin_assets.settings import ROOT, Settings

TEXTS = ROOT.parent / "shared" / "reality" / "authors" / "azu-ja"
AT_MOST = 40
STEPS = (
    "raw_web", "raw_library", "stg_documents", "document", "library_", "cleaned_", "unique_", "corpus_", "chunks", "embeddings",
    "vector_index", "instruct_dataset",
)  # fmt: skip
PERSONA = """
name: azu
full_name: azu
about: 日本語でプログラミングについて書く人。
license: CC-BY-4.0
languages: [ja]
web: {folders: [FOLDER]}
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings under which the graph was walked."""
    if not TEXTS.is_dir():
        pytest.skip(f"THE JAPANESE AUTHOR WAS NOT READ: {TEXTS} is not there.")
    home = tmp_path_factory.mktemp("azu")
    folder = home / "writing"
    folder.mkdir()
    for path in sorted(TEXTS.glob("*.txt"))[:AT_MOST]:
        text = path.read_text(encoding="utf-8")
        title = text.split("\n")[0].split("。")[0][:30]
        (folder / f"{path.stem}.md").write_text(f"# {title}\n\n{text}", encoding="utf-8")
    (home / "personas").mkdir()
    (home / "personas" / "azu.yaml").write_text(PERSONA.replace("FOLDER", str(folder)), encoding="utf-8")
    overrides = {"home": str(home), "personas_dir": str(home / "personas"), "profile": "pocket"}
    assets = [a for a in defs.assets or [] if isinstance(a, dg.AssetsDefinition)]
    chosen = [a for a in assets if all(k.to_user_string().startswith(STEPS) for k in a.keys)]
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("personas", ["azu"])
        result = dg.materialize(
            chosen, instance=instance, partition_key="azu", resources=build_resources(overrides)
        )
        assert result.success
    return Settings(home=home, personas_dir=home / "personas", profile="pocket")


def test_every_text_of_a_real_japanese_blog_is_kept_and_counted_in_words(walked: Settings) -> None:
    cleaned = FeatureStore(open_lake(walked)).read("cleaned_documents", "azu")
    assert len(cleaned) == AT_MOST
    assert {d.language for d in cleaned} == {"ja"}
    letters = sum(sum(map(str.isalpha, d.voice_text)) for d in cleaned)
    # As many as an English text of the same content has: half a word a letter.
    assert 0.4 < sum(d.words for d in cleaned) / letters < 0.6


def test_its_sides_share_no_run_of_words_and_its_chunks_fit_the_embedder(walked: Settings) -> None:
    store = FeatureStore(open_lake(walked))
    corpus, chunks = store.read("corpus_split", "azu"), store.read("chunks", "azu")
    train, heldout = ([d.voice_text for d in corpus if d.split == side] for side in ("train", "heldout"))
    assert len(heldout) >= 2
    assert len(corpus) > AT_MOST - 5
    assert shared_ngrams(train, heldout) == set()
    assert max(c.tokens for c in chunks) <= 200
    assert sorted(c.tokens for c in chunks)[len(chunks) // 2] > 100
    # Cut between words: the end of no chunk stands inside a word of its document.
    texts = {d.doc_id: d.voice_text for d in corpus}
    for chunk in chunks[:60]:
        inside = [s for s, e in term_spans(texts[chunk.doc_id]) if s < chunk.end < e]
        assert not inside, chunk.text


def test_its_words_find_their_passage_in_the_index(walked: Settings) -> None:
    embedder, store = load_embedder(walked.embedder), open_store(walked, "azu")
    chunks = FeatureStore(open_lake(walked)).read("chunks", "azu")
    asked = next(c for c in chunks if "拡張" in c.text)
    vector = embedder.embed(["something else"])[0]
    found = store.search("拡張", vector, 8, embedder=embedder.fingerprint, alpha=0.0)
    assert found[0].score > 0
    assert "拡張" in found[0].text
    assert asked.source == "web"


def test_its_rows_ask_in_its_words_and_answer_in_its_own(walked: Settings) -> None:
    lake = open_lake(walked)
    version = latest_version(lake, "azu", "instruct")
    assert version is not None
    train, test = (read_rows(lake, "azu", "instruct", version, side) for side in ("train", "test"))
    own = [row for row in (*train, *test) if row.task != "refuse"]
    assert len([r for r in train if r.task != "refuse"]) > 200
    assert {"write_section", "write_article", "continue", "answer"} <= {row.task for row in own}
    for row in own:
        answer = row.messages[-1].content
        assert has_unspaced(answer)
        # A question is answered with the sentences that its passages show, which may be few.
        asked = row.task in ("answer", FOLLOW_UP)
        assert count_words(answer) >= (MIN_QUOTED_WORDS if asked else MIN_ANSWER_WORDS)
    assert sum(has_unspaced(row.messages[-2].content) for row in own) > 0.95 * len(own)
    questions = [row.messages[-2].content for row in own if row.task == "answer"]
    assert all("についてどう書いていますか" in question for question in questions)
    heldout = [d.voice_text for d in FeatureStore(lake).read("corpus_split", "azu") if d.split == "heldout"]
    assert shared_ngrams([r.messages[-1].content for r in train], heldout) == set()


def test_the_instruments_tell_the_japanese_author_from_the_others(walked: Settings) -> None:
    """Held-out text of the author and of an English writer: the meter must see the one as the author's."""
    corpus = FeatureStore(open_lake(walked)).read("corpus_split", "azu")
    train, heldout = ([d.voice_text for d in corpus if d.split == side] for side in ("train", "heldout"))
    others = sorted((TEXTS.parent / "matklad").glob("*.txt"))
    impostors = {"a": [p.read_text() for p in others[:6]], "b": [p.read_text() for p in others[6:12]]}
    meter = VoiceMeter.fit(train, impostors)
    score, other = meter.score(heldout, 17), meter.score([others[20].read_text(), others[21].read_text()], 17)
    assert score.windows > 5
    assert score.margin is not None
    assert other.margin is not None
    assert score.margin > 0 > other.margin
    copies = CopyCheck(train)
    assert copies.report([train[0]]).copied_share > 0.95
    assert copies.report(heldout).copied_share < 0.1
