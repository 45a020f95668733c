"""Who is asked for the requests that the author's passages answer: a teacher, the profile's base model, or nobody."""

from collections.abc import Callable

from twin_assets.core.datasets.rows import InstructRow
from twin_assets.core.models.profiles import Profile
from twin_assets.core.persona.definition import Persona
from twin_assets.core.records import Message, SplitDocument
from twin_assets.core.storage.kept import KeptValues
from twin_assets.defs.shared.resources import Platform
from twin_assets.feature.instruct.build import passages_of_rows
from twin_assets.feature.instruct.teaching.backtranslation import TASKS, Kind, backtranslate
from twin_assets.feature.instruct.teaching.lessons import Teaching
from twin_assets.feature.instruct.teaching.teacher import Teacher, TeacherRequest
from twin_assets.inference.generation.batches import generate_all
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.settings import Settings
from twin_assets.training.base_models.base import ensure_base_model

CPU_PARAMETERS = 1e9  # a base model of more writes no requests on a CPU unless it is told to


def somebody_writes(settings: Settings, profile: Profile, persona: Persona) -> bool:
    """Whether a model is asked for requests; rules make them otherwise."""
    # A base model is asked in English, and answers in it.
    return bool(settings.teacher_model) or (
        persona.first_language == "en" and _base_model_writes(settings, profile)
    )


def ask_for_requests(
    platform: Platform, documents: list[SplitDocument], planned: list[InstructRow], say: Callable[[str], None]
) -> Teaching:
    """What a teacher, or else the profile's base model, says that the passages of these rows answer; of no others it is
    asked."""
    settings, profile = platform.settings, platform.profile
    if settings.teacher_model:
        return Teacher(settings, say).teach(passages_of_rows(planned, documents, profile))
    base = ensure_base_model(settings, profile, lambda facts: say(str(facts)))
    generator = LocalGenerator.of(platform.registry, base.tag)

    def write(conversations: list[list[Message]], tokens: int) -> list[str]:
        return generate_all(
            generator,
            conversations,
            [tokens] * len(conversations),
            temperature=0.0,
            seed=settings.seed,
            on_progress=lambda line: None,  # it is said over all that is asked
            repetition_penalty=1.0,  # the words of the passage are wanted
        )

    wanted = wanted_passages(planned, documents, profile, settings.backtranslation_passages)
    kept: KeptValues[str] = KeptValues(settings.cache_dir / "requests.sqlite", "written")
    same = platform.thresholds.agreeing_request
    return backtranslate(wanted, write, platform.embedder.embed, same, kept, base.tag, say)


def wanted_passages(
    planned: list[InstructRow], documents: list[SplitDocument], profile: Profile, most: int
) -> dict[Kind, list[TeacherRequest]]:
    """What the base model is asked about by kind: the passages of the rows that need it, at most so many, in the rows' order."""
    return {
        kind: passages_of_rows(planned, documents, profile, tasks)[:most] for kind, tasks in TASKS.items()
    }


def _base_model_writes(settings: Settings, profile: Profile) -> bool:
    """Unless a setting says so: where there is a GPU, or of a model that a CPU can bear."""
    if profile.plumbing:
        return False  # what writes noise asks for nothing
    if settings.backtranslation is not None:
        return settings.backtranslation
    import torch

    small = profile.architecture is not None and profile.architecture.parameters <= CPU_PARAMETERS
    return small or torch.cuda.is_available()
