"""The model card in every version's folder: Markdown with the front matter that the Hugging Face Hub reads."""

from pathlib import Path

from twin_assets.core.models.version import ModelVersion, closed_rows

# Licence ids the hub accepts: https://huggingface.co/docs/hub/repositories-licenses. Any other is `other`.
HUB_LICENSES = {
    "apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-3.0", "cc-by-sa-3.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0",
    "mpl-2.0", "bsd-3-clause", "bsd-2-clause", "unlicense", "wtfpl", "odc-by", "odbl",
}  # fmt: skip

_STAGES = {
    "base": "An untuned base model.",
    "sft": "Supervised fine-tuning of the base model on requests answered with the author's own text.",
    "dpo": "Direct preference optimisation (Rafailov et al. 2023) of the fine-tuned model: the author's text "
    "is preferred to the model's.",
}


def render_card(version: ModelVersion, hub_namespace: str | None = None) -> str:
    """The card of a version. Only a public version names dataset repositories of `hub_namespace`."""
    lineage, about = version.lineage, version.about
    title = (
        f"Base model {version.tag}"
        if lineage.stage == "base"
        else f"LLM Twin of {lineage.persona}: {version.tag}"
    )
    sections = [
        f"---\n{_front_matter(version, hub_namespace)}\n---",
        f"# {title}",
        _STAGES[lineage.stage],
        "## Lineage",
        _table(
            {
                "parent": lineage.parent or "none",
                **{f"{kind} dataset": name for kind, name in lineage.datasets.items()},
                "base model": about.base_model or "unknown",
                "profile": lineage.profile,
                "configuration": lineage.config_hash,
                "prompts": lineage.prompts,
                "training code": lineage.code_version,
                "seed": str(lineage.seed),
                "weights": version.weights_hash,
                "made": f"{version.created_at:%Y-%m-%d %H:%M} UTC",
            }
        ),
        "## Metrics",
        _table({name: f"{value:.4g}" for name, value in version.metrics.items()}),
        "## How it was trained",
        _trained(version),
    ]
    if lineage.stage != "base":
        sections += ["## Intended use and limits", _limits(version)]
    return "\n\n".join(sections) + "\n"


def _front_matter(version: ModelVersion, hub_namespace: str | None) -> str:
    from huggingface_hub import ModelCardData

    lineage, about = version.lineage, version.about
    license = about.license.lower()
    known = license in HUB_LICENSES
    from_hub = "/" in about.base_model and not Path(about.base_model).expanduser().is_absolute()
    public = about.visibility == "public" and hub_namespace is not None
    kinds = sorted(lineage.datasets) if public else []
    data = ModelCardData(
        license=license if known else "other",
        license_name=None if known else about.license,
        language=about.languages or None,
        library_name="transformers",
        pipeline_tag="text-generation",
        base_model=about.base_model.split("@")[0] if from_hub else None,
        datasets=[f"{hub_namespace}/{lineage.persona}-{kind}" for kind in kinds] or None,
        tags=["llm-twin", lineage.stage, lineage.profile],
    )
    return str(data.to_yaml())


def _trained(version: ModelVersion) -> str:
    parts = []
    if version.config_file.is_file():
        parts.append(
            "With Axolotl; `training/config.yaml` has every value. The same datasets, configuration and seed "
            "make it again: `twin rebuild " + version.tag + "`."
        )
    if (version.path / "adapter").is_dir():
        parts.append("The weights are merged; `adapter/` holds the LoRA adapter by itself.")
    if version.about.environment:
        parts.append(_table(version.about.environment))
    return "\n\n".join(parts) or "Taken as it is."


def _limits(version: ModelVersion) -> str:
    about = version.about
    open_to = {"public": "anyone", "connections": "the author's connections", "private": "the author"}
    closed = closed_rows(about.learnt_from, "public")
    learnt = f"It learnt from {closed}, and may repeat them to whoever it serves. " if closed else ""
    return learnt + (
        f"It writes in the voice of {version.lineage.persona}, for {open_to[about.visibility]}, under the licence "
        f"{about.license}, with passages of the author's own writing brought by retrieval. It is not the author: "
        "what it writes is a draft to be read before it is published, and must not be passed off as a statement "
        "of theirs. Facts come from the passages; without them it makes things up. It may repeat its training "
        "text to the letter. It was not tested for anything but voice, copying, citations and refusals."
    )


def _table(rows: dict[str, str]) -> str:
    if not rows:
        return "None."
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())])
