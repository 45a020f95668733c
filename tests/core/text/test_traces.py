"""A text is found by its words in whatever markup, escapes and line breaks; turns of phrase and others' words are not."""

import json

import pytest

from twin_assets.core.text.traces import RUN, Traces

TEXT = "The tide table was wrong on Tuesday, and I wrote that down before anybody had to ask me about it."
OTHER = "A backup that was never restored is a hope, and hope is not what we run ferries on."


@pytest.mark.parametrize(
    "place",
    [
        TEXT,
        TEXT.replace(" ", "\n"),
        f"<p>{TEXT.replace('wrong', '<b>wrong</b>').replace('and', '&amp; and')}</p>",
        json.dumps({"a": [f"quoted: {TEXT}\n"]}),
        json.dumps({"inner": json.dumps(TEXT.replace(", ", ",\n"))}),
        f'7,"{TEXT.upper()}",x',
        f"| {TEXT[:77]}… |",
    ],
)
def test_it_is_found_and_taken_out_and_what_stands_around_stays(place: str) -> None:
    traces = Traces([TEXT], [], [OTHER])
    wrapped = f"Before it. {OTHER} {place} {OTHER} After it."
    assert traces.are_in(wrapped)
    cleaned = traces.taken_out_of(wrapped)
    assert not traces.are_in(cleaned)
    assert "Tuesday" not in cleaned
    assert cleaned.startswith(f"Before it. {OTHER}")
    assert cleaned.endswith(f"{OTHER} After it.")
    assert "[erased]" in cleaned


def test_what_others_say_too_is_nobodys_and_short_texts_are_found_whole() -> None:
    both = f"{TEXT} {OTHER}"
    assert not Traces([both], [], [both]).are_in(both)
    assert not Traces([TEXT]).are_in("The tide table was wrong.")
    short = "Dunlin is late again."
    assert len(short) < RUN
    assert (
        Traces([short]).taken_out_of(f"He said: {short} Then he left.") == "He said: [erased]. Then he left."
    )
    assert Traces([], ["https://example.org/a-post"]).are_in('{"url": "https://example.org/a-post"}')
    japanese = "潮の時刻表は火曜日に間違っていて、誰かに尋ねられる前に私はそれを書き留めておいたのだった。船は待たない。"
    assert Traces([japanese]).are_in(json.dumps({"text": japanese.replace("、", "、\n")}))
    assert not Traces([])
