"""The corpus and the dataset of who writes without spaces: kept by the same rules as English, and by the same measure."""

from datetime import UTC, datetime

import numpy as np
import pytest

from tests.feature.corpus.test_corpus import STORY, document
from tests.feature.instruct.test_datasets import embed, embedded
from tests.support.unspaced_texts import japanese, thai
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import SplitDocument
from twin_assets.core.text.words import count_words, has_unspaced
from twin_assets.feature.corpus.cleaning.clean import clean_document, clean_documents
from twin_assets.feature.corpus.duplicates.dedup import find_duplicates
from twin_assets.feature.corpus.language import detect_language, other_language
from twin_assets.feature.corpus.quality import assess_quality
from twin_assets.feature.corpus.split import split_corpus
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.instruct.build import RowSource, unverifiable_rows
from twin_assets.feature.instruct.keyphrases import KeyPhrases
from twin_assets.feature.instruct.passages import passages_of

MATHEMATICAL = "𝗧𝗵𝗲 𝘁𝗶𝗱𝗲 𝘁𝗮𝗯𝗹𝗲 𝘄𝗮𝘀 𝘄𝗿𝗼𝗻𝗴 𝗮𝗴𝗮𝗶𝗻 𝗮𝗻𝗱 𝗻𝗼𝗯𝗼𝗱𝘆 𝘀𝗮𝗶𝗱 𝗮 𝘄𝗼𝗿𝗱"
BURMESE = "ဒီနေ့ရာသီဥတုအရမ်းကောင်းတယ်။ ကျွန်တော်ဈေးသွားပြီးသစ်သီးဝယ်ခဲ့တယ်။ "
KHMER = "ថ្ងៃនេះអាកាសធាតុល្អណាស់។ ខ្ញុំទៅផ្សារទិញផ្លែឈើ។ "
HINDI = "आज मौसम बहुत अच्छा है और मैं नदी के किनारे नाव की समय सारणी पढ़ रहा हूँ। "


def reasons(body: str, languages: list[str], **changes: object) -> list[str]:
    return assess_quality(clean_document(document(body, **changes)), languages)


def split_document(name: str, text: str, split: str = "train", title: str | None = None) -> SplitDocument:
    return SplitDocument.model_validate({
        "persona": "mio", "source": "file", "category": "article", "doc_id": name, "url": f"http://site/{name}", "title": title,
        "published_at": datetime(2024, 1, 1, tzinfo=UTC), "content_hash": name, "voice_text": text, "search_text": text,
        "words": count_words(text), "cluster_id": name, "split": split, "language": "ja",
    })  # fmt: skip


@pytest.mark.parametrize(
    ("text", "language"),
    [(japanese(60), "ja"), (thai(40), "th"), (BURMESE * 12, "my"), (KHMER * 12, "km"), (HINDI * 12, "hi")],
)
def test_prose_of_any_script_is_kept(text: str, language: str) -> None:
    assert reasons(text, [language]) == []
    assert "too_short" in reasons(text[:40], [language])


def test_a_japanese_article_counts_as_one_and_a_post_needs_few_letters() -> None:
    text = japanese(60)
    assert len(text.split()) < 80 < count_words(text)
    assert reasons("船が出る。", ["ja"], category="post") == ["too_short"]
    assert reasons(japanese(2), ["ja"], category="post") == []


def test_english_with_mathematical_letters_is_english_and_stays_as_it_was_written() -> None:
    post = f"{MATHEMATICAL}\n\n{STORY}"
    assert reasons(post, ["en"], category="post") == []
    # Also where nothing but such letters is left to tell it by.
    assert detect_language(f"{MATHEMATICAL}. {MATHEMATICAL.lower()}") == "en"
    assert MATHEMATICAL in clean_document(document(post)).voice_text


@pytest.mark.parametrize("languages", [["en"], ["de", "en"], ["pt-BR"]])
def test_only_a_text_that_is_surely_in_another_language_is_left_out(languages: list[str]) -> None:
    assert reasons(japanese(60), languages) == ["wrong_language"]
    assert "wrong_language" not in reasons("12:30 → 14:05, 3.6 m ✓ ok " * 6, languages)
    assert ("wrong_language" in reasons(STORY, languages)) == ("en" not in languages)


@pytest.mark.parametrize(
    ("text", "language"),
    [(japanese(20), "ja"), (thai(20), "th"), (BURMESE * 6, "my"), (KHMER * 6, "km"), (HINDI * 3, "hi"), ("昨天我把港口的时刻表读了三遍，船长笑着说潮水又变了。" * 4, "zh"),
     ("오늘은 배가 늦게 떠났고 선장은 오래된 시간표를 다시 읽었다. " * 4, "ko"), (f"{STORY} 東京。", "en")],
)  # fmt: skip
def test_a_language_is_told_by_its_script_or_its_words(text: str, language: str) -> None:
    assert detect_language(text) == language
    assert other_language(text, [language]) is None
    assert other_language(text, ["sv"]) == language


def test_languages_are_told_by_their_base_and_not_from_their_closest_relatives() -> None:
    portuguese = (
        "Ontem à noite li outra vez a tabela das marés e o capitão riu-se, porque a água não espera por ninguém. "
        * 2
    )
    assert other_language(portuguese, ["pt-BR"]) is None
    assert other_language(portuguese, ["en"]) == "pt"
    danish = (
        "I aftes læste jeg tidevandstabellen igen, og kaptajnen lo, fordi vandet ikke venter på nogen af os i havnen. "
        * 2
    )
    assert other_language(danish, ["nb"]) is None


def test_retold_japanese_is_a_duplicate_and_other_writing_of_the_author_is_not() -> None:
    first, other = (
        japanese(40, seed=1),
        "\n\n".join(f"第{n}章では港の倉庫番号{n * 7}を調べた結果を書く。" for n in range(30)),
    )
    retold = first.replace("船長", "機関長", 2).replace("時刻表", "航海日誌", 2)
    found = find_duplicates(
        clean_documents(
            [document(t, doc_id=n) for n, t in (("a", first), ("b", retold), ("c", other))], ["ja"]
        ).documents,
        lambda texts: np.eye(len(texts), 8, dtype=np.float32),
    )
    assert [cluster.members for cluster in found.clusters] == [["a", "b"]]


def test_what_quotes_the_heldout_side_leaves_training() -> None:
    texts = [
        f"倉庫の番号{n * 13}には、{['青い', '赤い', '古い', '重い'][n % 4]}箱が{n + 2}個と帳面が{n}冊ある。"
        * 2
        for n in range(12)
    ]
    documents = clean_documents(
        [document(t, doc_id=f"d{n:02}", category="post") for n, t in enumerate(texts)], ["ja"]
    ).documents
    unique = find_duplicates(documents, lambda some: np.eye(len(some), 16, dtype=np.float32)).documents

    def unlike(some: list[str]) -> np.ndarray:
        return np.zeros((len(some), 4), dtype=np.float32)

    first = split_corpus(unique, unlike)
    held = next(d for d in first.documents if d.split == "heldout")
    trained = next(d for d in first.documents if d.split == "train")
    model = next(d for d in unique if d.doc_id == trained.doc_id)
    text = f"前置きを書く。{held.voice_text}以上である。"
    quoting = model.model_copy(update={"doc_id": "quotes", "cluster_id": "quotes", "voice_text": text})
    before = {d.doc_id: d.split for d in first.documents} | {"quotes": "train"}
    again = split_corpus([*unique, quoting], unlike, before=before)
    assert again.contaminated["quotes"] == "shares_a_13gram"


@pytest.mark.parametrize("text", [japanese(60).replace("\n", ""), thai(60).replace("\n", " "), "潮" * 900])
def test_chunks_fit_and_lose_nothing(text: str) -> None:
    chunks = chunk_documents([split_document("one", text)], lambda part: len(part.split()), 60)
    assert max(count_words(c.text) for c in chunks) <= 60
    assert "".join(c.text for c in chunks).replace(" ", "") == text.replace(" ", "").strip()
    if "。" in text:
        assert all(c.text.endswith("。") for c in chunks)


def test_passages_end_at_sentences() -> None:
    parts = passages_of(japanese(40).replace("\n", ""), 400)
    assert len(parts) > 3
    assert all(part.endswith("。") for part in parts)


def test_key_phrases_are_nouns_of_the_text() -> None:
    texts = [japanese(30, seed=n) for n in range(4)] + [
        "形態素解析の辞書を作る。形態素解析は楽しい。辞書の中身を読む。"
    ]
    top = KeyPhrases(texts).top(texts[-1], 3)
    assert any("解析" in phrase or "形態素" in phrase for phrase in top)
    assert all(phrase in texts[-1] for phrase in top)


def test_a_japanese_corpus_makes_rows_that_ask_in_japanese(tmp_path_factory: pytest.TempPathFactory) -> None:
    documents = [
        split_document(f"d{n}", japanese(28, seed=n) + f"\n\n第{n}便の記録はここで終わる。", "heldout" if n % 5 == 0 else "train", f"第{n}便の話")
        for n in range(20)
    ]  # fmt: skip
    persona = Persona.model_validate({
        "name": "mio", "full_name": "Mio", "about": "港の人。", "license": "CC0-1.0", "languages": ["ja"],
        "web": {"folders": ["."]},
    })  # fmt: skip
    profile = load_profile("pocket").model_copy(update={"min_train_rows": 1})
    result = RowSource(
        documents, embedded(documents, tmp_path_factory.mktemp("cache")), persona, profile, 17, embed
    ).build()
    own = [row for row in result.rows if row.task != "refuse"]
    assert len(own) > 10
    assert unverifiable_rows(result.rows, documents) == []
    assert result.dropped.get("other_language", 0) == 0
    asked = [row.messages[-2].content for row in own]
    assert all(has_unspaced(text) for text in asked)
    assert any("についてどう書いていますか" in text for text in asked)
    assert not any("、 and " in text or " and 、" in text for text in asked)


def test_chinese_full_of_english_names_is_chinese_and_english_that_quotes_some_is_not() -> None:
    chinese = (
        "当 retainCount 为零时，对象会被 AutoreleasePool 释放，否则 NSObject 一直留在 memory 里。"
        "我们在 ViewController 里写一个 weakSelf，再在 Block 里面用 strongSelf，这样就不会循环引用了。"
        "注意 dispatch_after 和 NSTimer 也会持有 self，所以 invalidate 一定要记得调用。"
    )
    english = (
        "The boat is late and the tide is early, which the harbour calls 潮が早い and the skipper calls worse things. "
        * 3
    )
    assert (detect_language(chinese), other_language(chinese, ["zh"])) == ("zh", None)
    assert other_language(english, ["zh"]) == "en"
