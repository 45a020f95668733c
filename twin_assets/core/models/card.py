"""The model card in every version's folder: Markdown with the front matter that the Hugging Face Hub reads."""

from pathlib import Path

from twin_assets.core.models.adapters import read_config
from twin_assets.core.models.version import ModelVersion, closed_rows
from twin_assets.core.templates import render

# Licence ids the hub accepts: https://huggingface.co/docs/hub/repositories-licenses. Any other is `other`.
HUB_LICENSES = {
    "apache-2.0", "mit", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0",
    "cc-by-nc-sa-4.0", "cc-by-nc-nd-4.0", "cc-by-3.0", "cc-by-sa-3.0", "gpl-3.0", "agpl-3.0", "lgpl-3.0",
    "mpl-2.0", "bsd-3-clause", "bsd-2-clause", "unlicense", "wtfpl", "odc-by", "odbl",
}  # fmt: skip

_OPEN_TO = {"public": "anyone", "connections": "the author's connections", "private": "the author"}


def render_card(version: ModelVersion, hub_namespace: str | None = None) -> str:
    """The card of a version. Only a public version names dataset repositories of `hub_namespace`."""
    about = version.about
    return render(
        "core/models/card.md",
        version=version,
        lineage=version.lineage,
        about=about,
        front_matter=_front_matter(version, hub_namespace),
        has_config=version.config_file.is_file(),
        rank=read_config(version.path)["r"] if version.base else None,
        has_adapter=(version.path / "adapter").is_dir(),
        closed=closed_rows(about.learnt_from, "public"),
        open_to=_OPEN_TO[about.visibility],
    )


def _front_matter(version: ModelVersion, hub_namespace: str | None) -> str:
    from huggingface_hub import ModelCardData

    lineage, about = version.lineage, version.about
    license = about.license.lower()
    is_listed = license in HUB_LICENSES
    from_hub = "/" in about.base_model and not Path(about.base_model).expanduser().is_absolute()
    public = about.visibility == "public" and hub_namespace is not None
    kinds = sorted(lineage.datasets) if public else []
    data = ModelCardData(
        license=license if is_listed else "other",
        license_name=None if is_listed else about.license,
        language=about.languages or None,
        library_name="peft" if version.base else "transformers",
        pipeline_tag="text-generation",
        base_model=about.base_model.split("@")[0] if from_hub else None,
        datasets=[f"{hub_namespace}/{lineage.persona}-{kind}" for kind in kinds] or None,
        tags=["llm-twin", lineage.stage, lineage.profile],
    )
    return str(data.to_yaml())
