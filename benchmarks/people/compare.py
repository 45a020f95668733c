"""The product's judge over every way of writing as a person: what it finds, and the texts to be read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.people.home import Home
from benchmarks.people.peer_recipe import peer_model
from benchmarks.people.writers import Writers
from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.embedding.thresholds import Thresholds, thresholds_of
from twin_assets.core.models.profiles import Profile, load_profile
from twin_assets.core.models.registry import Registry
from twin_assets.core.persona.definition import Persona, load_persona
from twin_assets.core.records import Record, SplitDocument
from twin_assets.core.storage.feature_store import FeatureStore
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.storage.lake import Lake, open_lake
from twin_assets.core.vectors import open_store
from twin_assets.evaluation.choosing import WORDS, Chooser
from twin_assets.evaluation.contest.write import System
from twin_assets.evaluation.evaluate import Instruments, evaluate
from twin_assets.evaluation.grounding.entailment import open_measure
from twin_assets.evaluation.results import BASELINE, CANDIDATE, EvaluationReport
from twin_assets.evaluation.sense.meter import SenseMeter
from twin_assets.evaluation.sense.persona_sense import persona_sense
from twin_assets.evaluation.stages import StageGain, compare_stages
from twin_assets.evaluation.voice.copying import CopyCheck
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.evaluation.voice.instrument import VoiceInstrument
from twin_assets.evaluation.voice.persona_meter import persona_background, training_prose, voice_instrument
from twin_assets.evaluation.write_tasks import write_tasks
from twin_assets.feature.instruct.build import may_be_learnt
from twin_assets.inference.grounding.claims import by_mix
from twin_assets.inference.grounding.facts import FactDesk
from twin_assets.inference.retrieval.retriever import open_retriever
from twin_assets.inference.twin.answer import Twin

SFT, DPO, BEST, INT8 = CANDIDATE, "SFT+DPO", "SFT, best of 4", "SFT, int8 weights"
PEER, PEER_BARE = "peers' rows, asked as a twin", "peers' rows, asked as they train"
BEST_OF = 4
# Who is held against whom, on the same tasks.
PAIRS = (
    (SFT, BASELINE),
    (DPO, SFT),
    (BEST, SFT),
    (BEST, BASELINE),
    (INT8, SFT),
    (SFT, PEER),
    (PEER, BASELINE),
)


class Gains(Record):
    """What `ours` has more than `theirs`; of each measure the mean difference and its 95% interval."""

    ours: str
    theirs: str
    gains: list[StageGain]


class Found(Record):
    """Of one person. `texts` are by system, in the order of `topics`, `seconds` what writing them and the answers took."""

    report: EvaluationReport
    gains: list[Gains]
    topics: list[str]
    texts: dict[str, list[str]]
    seconds: dict[str, float]
    peer_rows: int = 0


@dataclass(frozen=True)
class Desk:
    """What is opened for a person."""

    persona: Persona
    profile: Profile
    lake: Lake
    registry: Registry
    corpus: list[SplitDocument]
    writers: Writers
    small: Writers  # as TWIN_CPU_WEIGHTS=int8 serves
    embedder: Embedder
    thresholds: Thresholds
    sense: SenseMeter | None
    no_sense: str


def open_desk(home: Home, say: Callable[[str], None]) -> Desk:
    """Of a person who was walked through the pipeline."""
    settings = home.settings
    persona, profile = load_persona(settings.personas_dir, home.person.name), load_profile(settings.profile)
    lake, registry = open_lake(settings), Registry(settings)
    corpus = may_be_learnt(
        FeatureStore(lake).load("corpus_split", persona.name, list[SplitDocument]), persona
    )
    kept: KeptValues[str] = KeptValues(home.folder / "texts.sqlite", "texts")
    writers = Writers(registry, profile, kept, settings.seed, say)
    rounded = Registry(settings.model_copy(update={"cpu_weights": "int8"}))
    small = Writers(rounded, profile, kept, settings.seed, say, "int8")
    small.written = writers.written  # they are judged together
    embedder = load_embedder(settings.embedder)
    sense, no_sense = persona_sense(settings, profile, [d for d in corpus if d.split == "train"])
    thresholds = thresholds_of(lake, embedder)
    return Desk(
        persona, profile, lake, registry, corpus, writers, small, embedder, thresholds, sense, no_sense
    )


def compare(home: Home, rows: int, epochs: int, say: Callable[[str], None]) -> Found:
    """With `rows` of the peers' recipe, or without that where it is 0."""
    desk, settings = open_desk(home, say), home.settings
    persona, profile, corpus, writers = desk.persona, desk.profile, desk.corpus, desk.writers
    store = FeatureStore(desk.lake)
    sft, dpo, base = (
        store.load(name, persona.name, str) for name in ("sft_model", "dpo_model", "base_model")
    )
    prose = training_prose(corpus)
    chooser = Chooser(
        desk.sense,
        VoiceInstrument.fit(prose[::2], read_impostors(home.choosing), WORDS),
        CopyCheck(list(prose)),
        by_mix(desk.embedder.embed_kept),
    )
    systems = {
        BASELINE: writers.system(BASELINE, base, "baseline"),
        SFT: writers.system(SFT, sft, "twin"),
        DPO: writers.system(DPO, dpo, "twin"),
        BEST: writers.best_of(BEST, sft, BEST_OF, chooser),
        INT8: desk.small.system(INT8, sft, "twin"),
    }
    peer_count = 0
    if rows:
        peer, manifest = peer_model(settings, profile, persona, corpus, writers, base, rows, epochs, say)
        peer_count = manifest.counts["train"]
        systems |= {
            PEER: writers.system(PEER, peer, "twin"),
            PEER_BARE: writers.system(PEER_BARE, peer, "bare"),
        }
    return judge(home, desk, systems, PAIRS, say).model_copy(update={"peer_rows": peer_count})


def judge(
    home: Home,
    desk: Desk,
    systems: dict[str, System],
    pairs: Sequence[tuple[str, str]],
    say: Callable[[str], None],
) -> Found:
    """The product's evaluation of systems that the desk's writers write for; of `pairs` the first is held against the second."""
    settings, persona, profile, corpus, writers = (
        home.settings,
        desk.persona,
        desk.profile,
        desk.corpus,
        desk.writers,
    )
    embedder, thresholds, sense = desk.embedder, desk.thresholds, desk.sense
    prose = training_prose(corpus)
    retriever = open_retriever(
        settings, persona, open_store(settings, persona.name), embedder, persona.learns_from
    )
    twin = Twin(persona, profile, retriever.retrieve, retriever.find, thresholds)
    measure, supported = open_measure(settings, thresholds.supported)
    background = persona_background(persona, corpus, desk.lake, settings.impostors_dir)
    train, heldout = (
        [d for d in corpus if d.split == "train"],
        [d for d in corpus if d.split == "heldout"],
    )
    report = evaluate(
        systems,
        heldout=heldout,
        train=train,
        impostors=read_impostors(persona.impostors),
        background=background,
        persona=persona,
        # All are compared text by text: nobody goes on alone.
        profile=profile.model_copy(
            update={"evaluation": profile.evaluation.model_copy(update={"gain_within": None})}
        ),
        instruments=Instruments(
            retrieve=retriever.retrieve,
            plan=twin.plan_answer,
            embed=embedder.embed,
            supported=supported,
            measure=measure,
            sense=sense,
            no_sense=desk.no_sense,
            same_subject=thresholds.same_subject,
            desk=FactDesk(embedder, thresholds),
        ),
        questions=[],
        seed=settings.seed,
        on_progress=say,
    )
    tasks = write_tasks(heldout, train)[: report.prompts]
    texts = {role: [g.text for g in of[: len(tasks)]] for role, of in writers.written.items()}
    voice = voice_instrument(prose, background)
    score = voice.share if voice and not background.no_figure else None
    return Found(
        report=report,
        gains=[
            Gains(
                ours=ours,
                theirs=theirs,
                gains=compare_stages(
                    (texts[theirs], report.systems[theirs].qa_eval),
                    (texts[ours], report.systems[ours].qa_eval),
                    score,
                    sense,
                    settings.seed,
                ).gains,
            )
            for ours, theirs in pairs
            if ours in texts and theirs in texts
        ],
        topics=[task.topic for task in tasks],
        texts=texts,
        seconds={role: sum(g.seconds for g in of) for role, of in writers.written.items()},
    )
