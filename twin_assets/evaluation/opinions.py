"""What stands beside the measures: texts that people read blind, a judge's opinion, and what the base model could do that is kept."""

from collections.abc import Callable

from twin_assets.core.errors import TwinError
from twin_assets.core.models.profiles import Profile
from twin_assets.core.records import SplitDocument
from twin_assets.core.text.words import first_words
from twin_assets.evaluation.blind_pairs import BlindPair, Drafts, blind_pairs
from twin_assets.evaluation.contest.ability import Ability, compare_ability
from twin_assets.evaluation.contest.instruments import Instruments
from twin_assets.evaluation.contest.judge import Judge, Pair, Verdicts
from twin_assets.evaluation.contest.write import ContestWriter, System, Written
from twin_assets.evaluation.results import (
    BASELINE,
    CANDIDATE,
    PRODUCTION,
    PROMPTED,
    REAL_WORDS,
    SHOWN_SAMPLES,
)
from twin_assets.evaluation.write_tasks import WriteTask


def pairs_to_read_blind(
    systems: dict[str, System],
    tasks: list[WriteTask],
    further: list[WriteTask],
    written: dict[str, Written],
    writer: ContestWriter,
    heldout: list[SplitDocument],
    profile: Profile,
    on_progress: Callable[[str], None],
) -> list[BlindPair]:
    """What people may read blind: topics whose texts are not shown by name. On `further` ones, which nothing is measured
    on, only what is compared here is written."""
    base_is = next((role for role in (PROMPTED, BASELINE) if role in systems), "")
    texts: dict[str, dict[str, str]] = {}
    for role in filter(None, (CANDIDATE, base_is)):
        texts[role] = {t.topic: x for t, x in zip(tasks, written[role].texts, strict=False)}
        if further:
            on_progress(f"{role} writes {len(further)} texts to read blind")
            asked = [
                writer.conversation(t, systems[role].prompting, n) for n, t in enumerate(further, len(tasks))
            ]
            said = systems[role].generate(asked, profile.answer_tokens)
            texts[role] |= {t.topic: one.text for t, one in zip(further, said, strict=True)}
    real = {d.doc_id: d.voice_text for d in heldout}
    base = texts.get(base_is, {})
    drafts = [
        Drafts(t.topic, real.get(t.doc_id, "")[t.start :], texts[CANDIDATE][t.topic], base.get(t.topic))
        for t in [*tasks, *further][SHOWN_SAMPLES:]
    ]
    prose = [d.voice_text for d in heldout if d.category != "code"]
    shown = [real.get(t.doc_id, "") for t in tasks[:SHOWN_SAMPLES]] + prose[:1]
    named = [first_words(text, REAL_WORDS) for text in shown]
    return blind_pairs(drafts, systems[CANDIDATE].model, base_is, named)


def kept_ability(
    systems: dict[str, System],
    instruments: Instruments,
    seed: int,
    on_progress: Callable[[str], None],
) -> Ability | None:
    if instruments.right_answers is None or BASELINE not in systems:
        return None
    on_progress("candidate and base take the ability test")
    ours, base = (instruments.right_answers(systems[role].model) for role in (CANDIDATE, BASELINE))
    return compare_ability(ours, base, seed)


def judges_verdicts(
    written: dict[str, Written],
    tasks: list[WriteTask],
    judge: Judge | None,
    profile: Profile,
    on_progress: Callable[[str], None],
) -> list[Verdicts]:
    """The judge's opinion against each rival; a judge that fails costs its opinion and not the evaluation."""
    found = []
    for rival in (BASELINE, PRODUCTION):
        if judge is None or rival not in written:
            continue
        # Candidate and base model may have gone on, production not.
        texts = zip(tasks, written[CANDIDATE].texts, written[rival].texts, strict=False)
        pairs = [Pair(request=t.topic, ours=a, theirs=b) for t, a, b in texts][
            : profile.evaluation.judge_pairs
        ]
        try:
            found.append(judge.compare(pairs, rival, on_progress))
        except TwinError as error:
            on_progress(f"the judge gave up: {error}")
            found.append(Verdicts(judge=judge.model, rival=rival, pairs=0, note=str(error)))
    return found
