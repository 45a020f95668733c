"""Production scored from its log: what is new, once, within a sample, and with nothing said of what can't be known."""

import pickle
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.evaluation.counted_words import CountedWords
from tests.evaluation.evaluation_factories import heldout, neighbours, request, train
from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.errors import TwinError
from twin_assets.core.feedback.store import Feedback, add_feedback
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.storage.lake import Lake, LocalLake
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.sense.passages import PassageMeter, some_passages
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.meter import VoiceMeter
from twin_assets.inference.grounding.claims import by_mix
from twin_assets.inference.twin.request_log import RequestRecord, write_object
from twin_assets.monitoring.report.plots import quality_plot
from twin_assets.monitoring.scores.live_quality import quality_by, quality_of
from twin_assets.monitoring.scores.live_scores import KeptMix, LiveScorer, score_new, stratum
from twin_assets.monitoring.scores.live_voice import DayVoice, Reading, day_voices, pooled, read_voices
from twin_assets.monitoring.scores.records import ScoredRequest
from twin_assets.monitoring.scores.scored import FOLDER, read_scored
from twin_assets.monitoring.scores.toxicity import by_words, open_toxicity
from twin_assets.settings import ROOT

SKUA = "The Skua was stuck on the mud at Stenna for 47 minutes with 31 passengers aboard."
PASSAGES = {"d-0": SKUA, "d-1": "We rehearse restores on Tuesdays, since a backup never restored is a hope."}
TRUE = "The Skua was stuck on the mud at Stenna for 47 minutes."
INVENTED = "Volcanoes near Naples erupted during breakfast in 1944."


def scorer(**changes: Any) -> LiveScorer:
    given: dict[str, Any] = {
        "persona": load_persona(ROOT / "personas", "runa"), "passages": PASSAGES,
        "measure": by_mix(load_embedder("offline-minilm").embed), "meter": None, "is_toxic": by_words,
        "sample_per_hour": 1000, "seed": 17,
    }  # fmt: skip
    return LiveScorer(**(given | changes))


def log(lake: Lake, name: str, *rows: RequestRecord) -> None:
    write_object(lake, f"requests/runa/{rows[0].time:%Y-%m-%d}", name, list(rows))


def meter() -> VoiceMeter:
    return VoiceMeter.fit(
        [d.voice_text for d in train()][::2], {name: texts[::2] for name, texts in neighbours().items()}
    )


def test_answers_are_held_against_their_own_passages() -> None:
    rows = [request(0, answer=TRUE), request(1, answer=INVENTED), request(2, answer=f"{TRUE} {INVENTED}")]
    true, invented, half = scorer().score(rows, {})
    assert (true.grounded_share, true.claims) == (1.0, 1)
    assert invented.grounded_share == 0.0
    assert (half.grounded_share, half.claims) == (0.5, 2)


def test_texts_of_the_sample_are_read_as_language() -> None:
    counted = CountedWords([d.voice_text for d in train()])
    passages = PassageMeter(counted, load_embedder("offline-minilm").embed, "minilm")
    sense = SenseMeter(
        passages, passages.measure(some_passages([d.voice_text for d in train()], 80)), 1.0, 1.0
    )
    own = some_passages([d.voice_text for d in heldout()], 1)[0]
    strange = " ".join(f"zq{n}x" for n in range(100))
    rows = [
        request(0, answer=own),
        request(1, answer=strange),
        request(2, answer=TRUE),
        request(3, answer=None),
    ]
    rows.append(request(4, answer=own, time=rows[0].time + timedelta(hours=1)))
    found = scorer(sense=sense).score(rows, {stratum(rows[-1]): 1e-9})
    assert [one.sense_share for one in found] == [1.0, 0.0, None, None, None]
    assert found[1].sense_loss > found[0].sense_loss
    assert found[0].sense_coherence is not None
    assert (quality_of("all", found).reads, quality_of("all", found).reads_texts) == (0.5, 2)
    assert [one.sense_share for one in scorer().score(rows, {})] == [None] * 5
    before = {k: v for k, v in found[0].model_dump().items() if not k.startswith("sense_")}
    assert ScoredRequest.model_validate(before).sense_share is None


def test_nothing_is_claimed_of_what_cannot_be_known() -> None:
    rows = [
        request(0, answer=None),
        request(1, answer=TRUE, retrieved=["d-0", "linked-1"]),  # a source that came with the request
        request(2, answer="Yes, quite.", retrieved=["d-0"]),
        request(3, answer="I have never written about that.", outcome="refused", retrieved=[], scores=[]),
        request(4, answer="", outcome="failed"),
    ]
    found = scorer().score(rows, {})
    assert [one.grounded_share for one in found] == [None] * 5
    assert [one.declined for one in found] == [None, False, False, True, None]
    assert (found[0].words, found[0].toxic, found[2].words) == (None, None, 2)


def test_leaks_and_abuse_are_looked_for_in_every_answer_and_refusals_in_words_count() -> None:
    rows = [
        request(0, answer="Write to runa.skov@ferries.dk or call +45 31 22 44 66."),
        request(1, answer="You are a complete idiot, go to hell."),
        request(2, answer="I don't know that, I never wrote about it."),
    ]
    found = scorer(sample_per_hour=1).score(rows, {("2026-01-01T00", "runa:one"): 1e-9})
    assert [one.weight for one in found] == [0.0] * 3  # none of them is in the sample
    assert [one.personal_data for one in found] == [2, 0, 0]
    assert [one.toxic for one in found] == [False, True, False]
    assert [one.declined for one in found] == [False, False, True]


def test_what_is_new_is_scored_once_whatever_comes_between(tmp_path: Path) -> None:
    lake, day = LocalLake(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    for name, numbers in (("a1", (0, 1, 2)), ("a2", (3, 4))):
        log(lake, name, *(request(n, answer=TRUE) for n in numbers))
    assert score_new(lake, scorer(), batch=2).scored == 5
    assert score_new(lake, scorer(), batch=2).scored == 0
    log(lake, "b", request(5, answer=INVENTED), request(4, answer=TRUE))  # one comes twice
    log(lake, "c", request(6, time=day + timedelta(days=1)))
    # A run that was killed after its first batch: its other batches are missing.
    for key in list(lake.keys(FOLDER))[1:]:
        lake.delete(key)
    left = len(read_scored(lake, "runa"))
    assert left in (2, 3)
    assert score_new(lake, scorer(), batch=2).scored == 7 - left
    rows = read_scored(lake, "runa")
    assert [row.request_id for row in rows] == [str(n) for n in range(7)]
    assert [row.request_id for row in read_scored(lake, "runa", newest=2)] == ["5", "6"]
    assert [row.request_id for row in read_scored(lake, "runa", (day + timedelta(days=1)).date())] == ["6"]


def test_an_id_that_a_caller_uses_again_is_another_request(tmp_path: Path) -> None:
    lake = LocalLake(tmp_path)
    log(lake, "a", request(0, request_id="same"), request(1, request_id="same"))
    assert score_new(lake, scorer()).scored == 2


def test_a_sample_of_each_hour_and_version_stands_for_all_of_it(tmp_path: Path) -> None:
    lake, start = LocalLake(tmp_path), datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        request(n, time=start + timedelta(seconds=n), answer=TRUE if n % 4 else INVENTED, model="busy")
        for n in range(800)
    ]
    rows += [
        request(n, time=start + timedelta(seconds=n), answer=TRUE, model="canary") for n in range(800, 810)
    ]
    log(lake, "a", *rows)
    run = score_new(lake, scorer(sample_per_hour=120))
    busy, canary = quality_by(read_scored(lake, "runa"), lambda row: row.model)
    assert run.scored == 810
    assert 80 < run.sampled - 10 < 160  # Poisson sampling: about 120
    assert canary.grounded_answers == 10  # fewer than the limit: all of them
    weights = sum(row.weight for row in read_scored(lake, "runa") if row.model == "busy")
    assert abs(weights - 800) < 200
    assert busy.grounded is not None
    assert busy.grounded_low is not None
    assert busy.grounded_high is not None
    assert busy.grounded_low < 0.75 < busy.grounded_high
    assert busy.requests == 800
    assert score_new(lake, scorer(sample_per_hour=120)).scored == 0


def test_weights_undo_what_the_sample_left_out() -> None:
    one = scorer().score([request(0, answer=TRUE), request(1, answer=INVENTED)], {})
    held, not_held = one[0].model_copy(update={"weight": 9.0}), one[1].model_copy(update={"weight": 1.0})
    assert quality_of("all", [held, not_held]).grounded == pytest.approx(0.9)
    assert quality_of("all", [held.model_copy(update={"grounded_share": None})]).grounded is None


def test_feedback_that_comes_later_is_joined_when_scores_are_read(tmp_path: Path) -> None:
    lake, at = LocalLake(tmp_path), datetime(2026, 1, 2, tzinfo=UTC)
    log(lake, "a", request(0), request(1), request(2))
    score_new(lake, scorer())
    said = {"persona": "runa", "model": "m"}
    add_feedback(lake, Feedback(request_id="0", time=at, thumb="down", **said))
    add_feedback(lake, Feedback(request_id="0", time=at + timedelta(hours=1), thumb="up", **said))
    add_feedback(
        lake, Feedback(request_id="1", time=at, answer="one two", edited="one three", consent=True, **said)
    )
    zero, one, two = read_scored(lake, "runa")
    assert (zero.feedback, one.edited_share, two.feedback) == ("up", 0.5, None)
    together = quality_of("all", [zero, one, two])
    assert (together.up, together.down, together.edited) == (1, 0, 1)


def test_voices_are_pooled_by_version_and_day_and_short_texts_give_no_figure(tmp_path: Path) -> None:
    lake, own = LocalLake(tmp_path), [d.voice_text for d in train()]
    assistant = [t for texts in neighbours().values() for t in texts[1::2]]
    rows = [
        *(request(n, answer=t, prompt_kind="write_article") for n, t in enumerate(own[1::2])),
        *(request(100 + n, answer=t, prompt_kind="answer", model="runa:two") for n, t in enumerate(assistant)),
        request(300, answer="Too short.", prompt_kind="answer"),
        request(301, answer=own[1], prompt_kind="rewrite"),  # somebody else's draft is in it
    ]  # fmt: skip
    log(lake, "a", *rows)
    score_new(
        lake, scorer(meter=meter(), measure=by_mix(load_embedder("offline-minilm").embed), sample_per_hour=1)
    )
    found = {(v.model, v.kind): v for v in read_voices(lake, "runa")}
    assert set(found) == {("runa:one", "write"), ("runa:two", "answer"), ("runa:one", "answer")}
    short = found["runa:one", "answer"]
    assert (short.margin, short.margins, short.words) == (None, [], 2)
    mine, theirs = found["runa:one", "write"].margin, found["runa:two", "answer"].margin
    assert mine is not None
    assert theirs is not None
    assert mine > 0 > theirs
    both = {(v.model, v.kind): v for v in pooled(found.values(), 17)}
    write = both["runa:one", "write"]
    assert write.margin_low is not None
    assert write.margin_high is not None
    assert write.margin_low < mine < write.margin_high
    assert both["runa:one", "answer"].margin is None
    days = quality_by(read_scored(lake, "runa"), lambda row: f"{row.time:%Y-%m-%d}")
    assert quality_plot(days, list(found.values())).startswith(b"\x89PNG")
    assert quality_plot([], []).startswith(b"\x89PNG")


def test_a_day_with_very_much_writing_is_measured_on_its_first_part() -> None:
    text = " ".join(d.voice_text for d in train())
    rows = [request(n, answer=text, prompt_kind="write_post") for n in range(20)]
    (voice,) = day_voices("2026-01-01", rows, meter())
    assert voice.words < 2 * max(20_000, len(text.split()))


def test_a_classifier_by_setting_takes_the_place_of_the_word_list(tmp_path: Path) -> None:
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "fine", "awful"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "model")
    sizes = {
        "vocab_size": 7, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8,
    }  # fmt: skip
    config = BertConfig(**sizes, id2label={0: "neutral", 1: "toxic"}, label2id={"neutral": 0, "toxic": 1})
    model = BertForSequenceClassification(config)
    for bias, expected in (((3.0, -3.0), False), ((-3.0, 3.0), True)):
        model.classifier.bias.data = model.classifier.bias.data.new_tensor(bias)
        model.classifier.weight.data.zero_()
        model.save_pretrained(tmp_path / "model")
        name, is_toxic = open_toxicity(str(tmp_path / "model"))
        assert name.startswith("model ")
        assert is_toxic(["fine", "awful"]) == [expected, expected]
    sent = pickle.loads(pickle.dumps(is_toxic))
    assert sent(["fine"]) == [True]
    assert pickle.loads(pickle.dumps(sent)) is sent  # a process loads a model once
    assert open_toxicity(None)[0] == "word list"
    with pytest.raises(TwinError, match="can't be loaded"):
        open_toxicity(str(tmp_path / "nothing"))


def test_a_days_texts_have_a_figure_from_other_people_to_the_author() -> None:
    own, others = ([d.voice_text for d in heldout()], neighbours()["marcus-vale"])
    known = {name: texts for name, texts in neighbours().items() if name != "marcus-vale"}
    instrument = VoiceInstrument.fit([d.voice_text for d in train()], known)
    rows = [
        request(n, prompt_kind="write_post", model=model, answer=text)
        for model, texts in (("runa:own", own), ("runa:other", others))
        for n, text in enumerate(texts)
    ]
    days = day_voices("2026-01-01", rows, meter(), instrument)
    assert all(day.places and not day.margins and day.margin is None for day in days)  # one measure a day
    found = {one.model: one for one in pooled(days, 1)}
    ours, theirs = found["runa:own"], found["runa:other"]
    assert ours.figure is not None
    assert theirs.figure is not None
    assert ours.figure_low is not None
    assert ours.figure_high is not None
    assert 0 <= ours.figure_low <= ours.figure <= ours.figure_high <= 1
    assert theirs.figure < ours.figure - 0.3
    old = days[0].model_copy(update={"day": "2025-12-31", "places": [], "margins": [0.4, 0.5, 0.6]})
    (before,) = pooled([old], 1)  # a day that was kept without places
    assert (before.figure, before.windows, before.note) == (None, 3, None)
    assert before.margin == pytest.approx(0.5)
    (both,) = pooled([old, *(day for day in days if day.model == old.model)], 1)
    assert (both.figure, both.windows) == (
        found[old.model].figure,
        found[old.model].windows,
    )  # nothing of the old day
    assert both.margin == before.margin


def test_noise_has_no_voice_whatever_its_words_are_and_old_days_stay_readable() -> None:
    """Words of the author in no order: a version that writes them, and one such text of a version that writes well."""
    own = [d.voice_text for d in heldout()]
    known = {name: texts for name, texts in neighbours().items() if name != "marcus-vale"}
    instrument = VoiceInstrument.fit([d.voice_text for d in train()], known)
    noisy = [" ".join(sorted(text.split(), key=hash)) for text in own]
    rows = [request(n, prompt_kind="write_post", answer=t, model="runa:own") for n, t in enumerate(own)]
    rows += [
        request(100 + n, prompt_kind="write_post", answer=t, model="runa:noise") for n, t in enumerate(noisy)
    ]
    rows += [request(200, prompt_kind="write_post", answer=noisy[0], model="runa:own")]
    rows += [request(300, prompt_kind="write_post", answer=own[0], model="runa:unread")]
    shares = {"runa:own": 1.0, "runa:noise": 0.0, "runa:unread": None}
    scored = [found.model_copy(update={"sense_share": shares[row.model], "prompt_kind": row.prompt_kind}) for row, found in zip(rows, scorer().score(rows, {}), strict=True)]  # fmt: skip
    scored = [
        one.model_copy(update={"sense_share": 0.0}) if one.request_id == "200" else one for one in scored
    ]
    day = f"{rows[0].time:%Y-%m-%d}"
    voices = {v.model: v for v in day_voices(day, rows, meter(), instrument, Reading(scored))}
    assert voices["runa:own"].figure is not None
    clean = day_voices(
        day, [r for r in rows if r.model == "runa:own" and r.request_id != "200"], None, instrument
    )
    assert voices["runa:own"].places == clean[0].places
    for model in ("runa:noise", "runa:unread"):
        assert (voices[model].places, voices[model].margins, voices[model].figure) == ([], [], None)
    notes = {one.model: one.note for one in pooled(voices.values(), 1)}
    assert notes["runa:own"] is None
    assert "nonsense has no voice" in str(notes["runa:noise"])
    before = DayVoice.model_validate_json(
        '{"day":"2025-12-01","model":"m","kind":"write","words":600,"margins":[0.2,0.4]}'
    )
    assert (before.figure, before.margin, before.reads) == (None, pytest.approx(0.3), None)
    both = quality_plot(quality_by(scored, lambda r: f"{r.time:%Y-%m-%d}"), [*voices.values(), before.model_copy(update={"day": day})])  # fmt: skip
    assert both.startswith(b"\x89PNG")


def test_a_text_has_a_figure_of_its_own_or_none_where_it_is_noise() -> None:
    counted = CountedWords([d.voice_text for d in train()])
    passages = PassageMeter(counted, load_embedder("offline-minilm").embed, "minilm")
    sense = SenseMeter(
        passages, passages.measure(some_passages([d.voice_text for d in train()], 80)), 1.0, 1.0
    )
    instrument = VoiceInstrument.fit([d.voice_text for d in train()], neighbours())
    own = max((d.voice_text for d in heldout()), key=len)
    strange = " ".join(f"zq{n}x" for n in range(300))
    rows = [request(n, answer=text, prompt_kind="write_post") for n, text in enumerate((own, strange))]
    read, noise = scorer(sense=sense, instrument=lambda: instrument, meter=meter()).score(rows, {})
    assert read.voice_figure is not None
    assert 0.5 < read.voice_figure <= 1
    assert (noise.voice_figure, noise.voice_margin, read.voice_margin) == (None, None, None)
    [old, _] = scorer(sense=sense, meter=meter()).score(
        rows, {}
    )  # too few other writers are known for a figure
    assert old.voice_figure is None
    assert old.voice_margin is not None


def test_a_day_of_which_half_is_far_out_is_noise_though_most_lies_in_the_authors_range() -> None:
    rows = scorer().score([request(n, prompt_kind="write_post", answer=TRUE) for n in range(20)], {})
    mixed = [
        one.model_copy(update={"sense_share": 0.9, "sense_far": float(n % 2)}) for n, one in enumerate(rows)
    ]
    usual = [
        one.model_copy(update={"sense_share": 0.9, "sense_far": float(n == 7)}) for n, one in enumerate(rows)
    ]
    assert (quality_of("all", mixed).far, quality_of("all", mixed).noise) == (0.5, True)
    assert (quality_of("all", usual).far, quality_of("all", usual).noise) == (0.05, False)
    assert not quality_of(
        "all", [one.model_copy(update={"sense_far": None}) for one in mixed]
    ).noise  # of before
    text = request(5, prompt_kind="write_post", answer=TRUE)
    assert not Reading(mixed).may_speak(text)
    assert Reading(usual).may_speak(text)


class CountingEmbedder:
    """Counts the texts that are embedded, in all copies of it together."""

    embedded: ClassVar[list[str]] = []

    def embed(self, texts: list[str]) -> np.ndarray:
        self.embedded.extend(texts)
        return load_embedder("offline-minilm").embed(texts)


def test_a_mix_embeds_no_text_twice_and_has_kept_nothing_where_it_was_sent() -> None:
    claims, passages = (
        ["The tide table was a day old."],
        ["Yesterday's table hung on the wall. The boat was on the mud."],
    )
    mix = KeptMix(CountingEmbedder())  # type: ignore[arg-type]
    first = mix(claims, passages)
    asked = len(CountingEmbedder.embedded)
    assert asked == len(set(CountingEmbedder.embedded)) > 0
    assert (mix(claims, passages) == first).all()
    assert len(CountingEmbedder.embedded) == asked
    assert (pickle.loads(pickle.dumps(mix))(claims, passages) == first).all()
    assert len(CountingEmbedder.embedded) == 2 * asked
