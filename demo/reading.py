"""What the twin of the demo writes, to be read: a post beside what the author wrote, an answer with what it cites, a refusal.

Asked as the service asks it, with the first topic, the first question that the twin does not decline, and the first that
nothing of the author's answers: no text is picked.
"""

import json
import textwrap

from twin_assets.core.embedding.embedder import load_embedder
from twin_assets.core.embedding.thresholds import thresholds_of
from twin_assets.core.models.profiles import load_profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import load_persona
from twin_assets.core.records import Message
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.words import first_words
from twin_assets.core.vectors import open_store
from twin_assets.evaluation.grounding.questions import read_questions
from twin_assets.evaluation.report.page import report_key
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.retrieval.retriever import open_retriever
from twin_assets.inference.twin.answer import Plan, Twin, sampling_of
from twin_assets.settings import Settings

REAL_WORDS, QUOTED_WORDS, MOST_ASKED = 90, 40, 8


def print_reading(settings: Settings, name: str, model: str) -> None:
    """Let `model`, of which there is an evaluation report, write, and print it."""
    persona, lake = load_persona(settings.personas_dir, name), open_lake(settings)
    embedder = load_embedder(settings.embedder)
    retriever = open_retriever(settings, persona, open_store(settings, name), embedder, "public")
    profile, thresholds = load_profile(settings.profile), thresholds_of(lake, embedder)
    twin = Twin(persona, profile, retriever.retrieve, retriever.find, thresholds)
    generator = LocalGenerator.of(Registry(settings), model)

    desk, options = FactDesk(embedder, thresholds), persona.answers.over(profile.answers)

    def written(plan: Plan) -> str:
        asked: list[list[Message]] = [generator.fit(plan.conversation, plan.max_tokens)]
        [text] = generator.generate(asked, sampling_of(plan, None, settings.seed))
        return text.text

    def answer(question: str) -> tuple[Plan, str | None]:
        plan = twin.plan_answer(question)
        return plan, None if plan.refusal else desk.hold(question, plan.passages, written(plan), options)

    report = json.loads(lake.read(report_key(name, model, "json")))
    samples = report["systems"]["candidate"]["samples"]
    topic, real = (samples[0]["prompt"], samples[0]["real"]) if samples else ("what I do", "")
    print("\n── to be read " + "─" * 63)
    print(f"  {model}, untouched and unpicked\n")
    _say(f"A post about {topic!r}, by the twin", written(twin.plan_write("linkedin_post", topic)))
    _say(
        f"{persona.full_name} really wrote, in a text that the twin has never seen",
        first_words(real, REAL_WORDS),
    )
    questions = read_questions(persona.questions)
    declined = []
    for question in [q.question for q in questions if not q.unanswerable][:MOST_ASKED]:
        plan, text = answer(question)
        if text is None:
            declined.append(question)
            continue
        _say(f"Asked: {question}", text)
        for citation in plan.citations[:1]:
            _say(f"[{citation.number}] {citation.url}", first_words(citation.quote, QUOTED_WORDS))
        break
    if declined:
        print(f"  It declined {len(declined)} before, which it could have answered: {'; '.join(declined)}\n")
    if question := next((q.question for q in questions if q.unanswerable), ""):
        plan, text = answer(question)
        _say(
            f"Asked, though nothing of the author's answers it: {question}",
            text or plan.refusal or plan.declining or "",
        )


def _say(title: str, text: str) -> None:
    print(f"  {title}:")
    print(textwrap.indent("\n".join(textwrap.wrap(text, 100)) if "\n" not in text else text, "    │ "), "\n")
