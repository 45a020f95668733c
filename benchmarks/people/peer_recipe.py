"""Rows and a model as other projects make them of the same writing, on the same base.

The recipe is the one of the LLM Engineer's Handbook (Iusztin and Labonne 2024, its public code): a model is shown an extract and writes a
request and an answer in the extract's style, rows are split at random, whichever document they are of, and nothing is declined. There a large
hosted model writes three pairs in one JSON; the base of `pocket` can't, so it is asked for the request and then for the answer, once an
extract. As there, a short answer is no row.
"""

import random
from collections.abc import Callable

from benchmarks.people.writers import Writers
from twin_assets.core.datasets.rows import InstructRow, Manifest, dataset_folder
from twin_assets.core.datasets.store import write_dataset
from twin_assets.core.hashing import text_hash
from twin_assets.core.models.profiles import Profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import prompts_fingerprint
from twin_assets.core.records import Message, SplitDocument
from twin_assets.core.storage.lake import open_lake
from twin_assets.core.text.words import count_words
from twin_assets.feature.instruct.passages import passages_of
from twin_assets.inference.generation.sampling import Manner
from twin_assets.settings import Settings
from twin_assets.training.jobs import done, finish_job, prepare_job
from twin_assets.training.rebuild import run_here

EXTRACT_TOKENS, MIN_WORDS, TEST_SHARE, SEED = 256, 60, 0.2, 42
REQUEST_TOKENS, ANSWER_TOKENS, MANNER = 32, 200, Manner(0.7, 1.0)
SHORTEST_ANSWER = 100  # letters
IMITATES = "You write requests and answers from a given text, and imitate the casual tone and the style of that text."
REQUEST = "Here is a text:\n\n{extract}\n\nWrite one short request that asks somebody to write about a topic of this text. Do not mention the text."
ANSWER = "Here is a text:\n\n{extract}\n\nUsing what it says and its writing style, write a paragraph for this request: {request}"


def peer_rows(
    documents: list[SplitDocument], writers: Writers, base: str, most: int
) -> tuple[list[InstructRow], dict[str, int]]:
    """At most that many rows, of a model's own words; and what was left out."""
    extracts = [
        (document, passage)
        for document in documents
        if document.category != "code"
        for passage in passages_of(document.voice_text, EXTRACT_TOKENS)
        if count_words(passage) >= MIN_WORDS
    ]
    draw = random.Random(SEED)
    chosen = draw.sample(extracts, min(most, len(extracts)))
    requests = _written(writers, base, [REQUEST.format(extract=x) for _, x in chosen], REQUEST_TOKENS)
    requests = [text.strip().split("\n")[0].strip().strip('"') for text in requests]
    asked = [ANSWER.format(extract=x, request=r) for (_, x), r in zip(chosen, requests, strict=True)]
    answers = [text.strip() for text in _written(writers, base, asked, ANSWER_TOKENS)]
    rows, dropped = [], {"no_request": 0, "short_answer": 0}
    for (document, extract), request, answer in zip(chosen, requests, answers, strict=True):
        if not request:
            dropped["no_request"] += 1
        elif len(answer) < SHORTEST_ANSWER:
            dropped["short_answer"] += 1
        else:
            rows.append(
                InstructRow(
                    row_id=text_hash(f"{document.doc_id} {extract}"),
                    doc_id=document.doc_id,
                    task="peer",
                    split="heldout" if draw.random() < TEST_SHARE else "train",
                    messages=[
                        Message(role="user", content=request),
                        Message(role="assistant", content=answer),
                    ],
                )
            )
    return rows, dropped


def _written(writers: Writers, base: str, prompts: list[str], tokens: int) -> list[str]:
    conversations = [
        [Message(role="system", content=IMITATES), Message(role="user", content=prompt)] for prompt in prompts
    ]
    return [g.text for g in writers.write(base, conversations, tokens, MANNER)]


def peer_model(
    settings: Settings,
    profile: Profile,
    persona: Persona,
    documents: list[SplitDocument],
    writers: Writers,
    base: str,
    rows: int,
    epochs: int,
    say: Callable[[str], None],
) -> tuple[str, Manifest]:
    """The tag of the model that was trained on such rows, now or in a session before, and the rows' manifest."""
    made, dropped = peer_rows(documents, writers, base, rows)
    lake, name = open_lake(settings), f"{persona.name}-peer"
    manifest = write_dataset(
        lake,
        name,
        "instruct",
        made,
        parents={"written_by": base},
        prompts=prompts_fingerprint(),
        dropped=dropped,
        seed=settings.seed,
        license=persona.license,
        visibility=persona.visibility,
        summary=f"Written by {base} from the writing of {persona.full_name}.",
    )
    folder = lake.local(dataset_folder(name, "instruct", manifest.version))
    job = prepare_job(
        settings, profile, "sft", Registry(settings).get(base), manifest, folder, name, {"num_epochs": epochs}
    )
    version = done(settings, job)
    if version is None:
        say(f"training on {manifest.counts['train']} rows of the peers' recipe, {epochs} times")
        run_here(job)
        version = finish_job(settings, job)
    return version.tag, manifest
