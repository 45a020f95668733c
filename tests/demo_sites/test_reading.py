"""The demo ends with what its twin writes, asked as the service asks it, beside what the author wrote."""

from pathlib import Path

import pytest
import yaml

from demo.reading import print_reading
from tests.e2e.released_twin import ReleasedTwin

QUESTIONS = [
    {"question": "What was the sturgeon ledger, and where is it kept?"},
    {"question": "Who won the football World Cup in 2022?", "unanswerable": True},
]


def test_a_post_an_answer_with_its_citation_and_a_refusal_are_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    twin = ReleasedTwin(tmp_path)
    declared = tmp_path / "personas" / "runa.yaml"
    (tmp_path / "personas" / "questions.yaml").write_text(yaml.safe_dump(QUESTIONS))
    refusals = {"questions": "questions.yaml", "refusals": ["I've nothing on $looked_for."]}
    declared.write_text(yaml.safe_dump(yaml.safe_load(declared.read_text()) | refusals))
    print_reading(twin.settings, "runa", twin.candidate.tag)
    said = capsys.readouterr().out
    assert twin.candidate.tag in said
    post, real, answer, refusal = (
        said.index(part)
        for part in (
            "A post about", "Runa Hollis really wrote", "Asked: What was the sturgeon", "answers it: Who won the football"
        )
    )  # fmt: skip
    assert post < real < answer < refusal
    # What a model of three steps writes is noise, and stands there all the same.
    assert said[post:real].count("\u2502") >= 1
    assert "[1] https://medium.example/attack" in said[answer:refusal]
    assert "The sturgeon ledger cost forty marks." in said[answer:refusal]
    assert "I've nothing on" in said[refusal:]
