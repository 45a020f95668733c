"""Voice, copying, claims and retrieval of who writes without spaces: the same instruments, the same measures."""

from collections.abc import Callable

import pytest

from tests.evaluation.evaluation_factories import document
from tests.support.chunks import chunk
from tests.support.unspaced_texts import japanese, thai
from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.refusals import declines
from twin_assets.core.prompts.templates import looked_for, refusal
from twin_assets.core.records import Passage
from twin_assets.core.text.words import count_words
from twin_assets.evaluation.grounding.questions import Question, score_retrieval
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.evaluation.voice.stylometry import mask_topic, tokens, windows, word_count
from twin_assets.evaluation.voice.vocabulary import Vocabulary
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.inference.grounding.claims import by_mix, claim_support, claims_of
from twin_assets.inference.retrieval.compress import compress
from twin_assets.inference.retrieval.understand import wordings
from twin_assets.inference.twin.brief import Brief
from twin_assets.inference.twin.shaping import X_LIMIT, within_x_limit, x_weight

PLAIN = "船長は時刻表を読み直した。"
POLITE = "昨日の夜ですね、船長さんは時刻表を読み直しましたよ。本当に面白いと思いますけれど、皆さんはどうでしょうか。ぜひ教えてくださいね。"


@pytest.fixture(scope="module")
def embedder() -> Embedder:
    return load_embedder("offline-minilm")


@pytest.mark.parametrize("write", [japanese, thai])
def test_windows_hold_as_many_words_as_those_of_english(write: Callable[..., str]) -> None:
    texts = [write(30, seed=n) for n in range(4)]
    cut = windows(texts)
    assert len(cut) == word_count(texts) // 250
    assert all(abs(count_words(window) - 250) <= 3 for window in cut)


def test_a_polite_writer_is_told_from_a_plain_one() -> None:
    author, other = (
        [japanese(40, seed=n) for n in range(8)],
        [POLITE * 12 + japanese(3, seed=n) for n in range(8)],
    )
    meter = VoiceMeter.fit(author[:5], {"polite": other[:5]})
    own, stranger = meter.score(author[5:], 17), meter.score(other[5:], 17)
    assert own.margin is not None
    assert stranger.margin is not None
    assert own.margin > 0 > stranger.margin
    assert {"は", "を", "。"} <= set(tokens(PLAIN))
    assert mask_topic(PLAIN, frozenset({"は", "を"})).count("は") == 1
    assert "船長" not in mask_topic(PLAIN, frozenset({"は", "を"}))


@pytest.mark.parametrize("write", [japanese, thai])
def test_a_copied_run_is_found_and_cut_out_and_new_writing_is_none(write: Callable[..., str]) -> None:
    training = [write(20, seed=n) for n in range(3)]
    check = CopyCheck(training)
    copy = training[0].split("\n\n")[0]
    report = check.report([copy])
    assert report.copied_share > 0.9
    assert report.longest_words > 20
    own = "猫が窓辺で眠っている。"
    assert own in check.without_copies(f"{copy}{own}")
    assert len(check.without_copies(f"{copy}{own}")) < len(own) + 12
    assert check.report([own]).copied_share == 0


def test_made_up_words_are_no_part_of_a_known_vocabulary() -> None:
    known = Vocabulary([japanese(40, seed=n) for n in range(5)])
    assert known.unseen_share([japanese(10, seed=9)]) == pytest.approx(0, abs=0.05)
    assert (known.unseen_share(["宇宙飛行士が鉱石を採掘した。"]) or 0) > 0.5


def test_claims_are_sentences_and_what_a_passage_says_supports_them(embedder: Embedder) -> None:
    claims = claims_of(
        "船長のアウドさんは古い時刻表を静かに読み直した。本当ですか？宇宙飛行士が火星の鉱石を採掘した。"
    )
    assert len(claims) == 2
    said, invented = claim_support(
        claims, ["昨日、船長のアウドさんは古い時刻表を静かに読み直した。"], by_mix(embedder.embed)
    )
    assert said > invented


def test_a_passage_is_cut_to_the_sentences_that_answer(embedder: Embedder) -> None:
    text = japanese(12).replace("\n", "")
    passage = Passage.model_validate(chunk("a", text, 0).model_dump(exclude={"vector"}) | {"score": 1.0})
    [shorter] = compress("時刻表はどうなったか", [passage], 300, embedder)
    assert 0 < len(shorter.text) < len(text)
    assert all(text[start:end].endswith("。") for start, end in shorter.spans)


def test_a_question_gives_its_telling_words_and_a_fact_is_found_between_letters() -> None:
    asked = wordings("船長は時刻表をどう読み直したのですか？それはいつですか？")
    assert {"船長", "時刻"} <= set(asked[1].split()) or "時刻表" in asked[1]
    assert "は" not in asked[1].split()
    passage = Passage.model_validate(
        chunk("a", "検査は二十八行で書いた。", 0).model_dump(exclude={"vector"}) | {"score": 1.0}
    )
    question = Question(question="何行ですか？", answer_facts=["二十八行"])
    assert score_retrieval([question], lambda *_: [passage]).hit_rate == 1


def test_a_refusal_names_a_short_part_of_a_long_question() -> None:
    long = "昨日の夜に港の事務所で船長さんが読み直していた古い時刻表の間違いについて詳しく教えてください。"
    assert looked_for(long).endswith("...")
    assert len(looked_for(long)) < len(long) - 10
    persona = Persona.model_validate({
        "name": "mio", "full_name": "Mio", "about": "x", "license": "CC0", "web": {"folders": ["."]},
        "refusals": ["それについては何も書いたことがありません。$looked_for"],
    })  # fmt: skip
    assert declines(refusal(persona, long), persona)
    assert not declines(PLAIN, persona)


def test_a_post_for_x_ends_after_a_word() -> None:
    text = "Firefox " + japanese(30).replace("\n", "")
    cut = "".join(within_x_limit([text[i : i + 7] for i in range(0, len(text), 7)]))
    assert X_LIMIT - 40 < x_weight(cut) <= X_LIMIT
    assert cut.endswith("…")
    assert cut == "".join(within_x_limit([text]))
    short = "今日は潮が変わった。 船は出ない。"
    assert "".join(within_x_limit([short])) == short


def test_a_japanese_text_gets_the_tokens_that_its_words_take() -> None:
    asked = Brief(kind="article", topic="潮と時刻表", words=100)
    assert asked.max_tokens(10_000) == 344
    assert asked.model_copy(update={"language": "en"}).max_tokens(10_000) == 184
    assert Brief(kind="article", topic="tides", words=100).max_tokens(10_000) == 184
    assert Brief(kind="article", topic="tides", words=100, language="ja").max_tokens(10_000) == 344


def test_topics_to_write_about_are_words_of_the_heldout_text() -> None:
    heldout = [document("h", "宇宙飛行士が火星の鉱石を採掘した。" * 8, split="heldout")]
    tasks = write_tasks(heldout, [document(f"t{n}", japanese(20, seed=n)) for n in range(3)])
    assert tasks
    assert all(any(part in heldout[0].voice_text for part in task.topic.split("、")) for task in tasks)
