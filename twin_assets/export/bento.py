"""A bento of the LLM service that contains a version: code, pins and models in one folder, for a machine with neither lake nor registry.

`python -m twin_assets.export.bento BENTOFILE` is the process that builds it: BentoML has one home a process.
"""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from twin_assets.core.errors import TwinError
from twin_assets.core.models.card import render_card
from twin_assets.core.models.registry import Registry
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.processes import run_within
from twin_assets.export.export import appear, refuse_full, scratch_beside
from twin_assets.settings import ROOT, Settings

BENTOFILE = ROOT / "deploy" / "bento" / "llm.yaml"
TOO_LONG = "set TWIN_TRAINING_HOURS higher, or see what keeps the disk busy."


def export_bento(settings: Settings, version: ModelVersion, target: Path) -> str:
    """Write the bento to the folder `target`, an absolute path, which appears whole or, when anything goes wrong, not at all; its tag.

    The service of it answers for the version's persona by this version, and an adapter's base comes along. Neither settings
    nor any persona's file do. Raises TwinError where `target` holds something already, where the base isn't here, and outside
    of a checkout, which has the pins of the image.
    """
    refuse_full(target)
    if not BENTOFILE.is_file():
        raise TwinError(
            f"A bento is built of a checkout of the platform, and {ROOT} is none.",
            "run `twin` from a checkout's own environment (`make install` there).",
        )
    options = bento_options(version, Registry(settings).base_of(version))
    with scratch_beside(target) as scratch:
        (scratch / "models").symlink_to(settings.bentoml_home / "models")
        bentofile = scratch / "bentofile.yaml"
        bentofile.write_text(yaml.safe_dump(options, sort_keys=False, allow_unicode=True))
        folder = Path(_build(settings, bentofile, scratch))
        folder.chmod(0o755)
        appear(folder, target)
    return f"{folder.parent.name}:{folder.name}"


def bento_options(version: ModelVersion, base: ModelVersion | None) -> dict[str, Any]:
    """BentoML's build options: those of the service that follows the ledger, with its models and without personas."""
    options: dict[str, Any] = yaml.safe_load(BENTOFILE.read_text(encoding="utf-8"))
    persona, about = version.lineage.persona, version.about
    contained = [{"tag": version.tag, "alias": persona}] + ([{"tag": base.tag}] if base else [])
    return options | {
        "name": f"llm-service-{persona}",
        "description": render_card(version),
        "labels": options["labels"]
        | {"model": version.tag, "license": about.license, "visibility": about.visibility},
        "include": [path for path in options["include"] if path != "/personas/"],
        "models": contained,
    }


def _build(settings: Settings, bentofile: Path, home: Path) -> str:
    ended = run_within(
        settings.training_hours * 3600,
        "Building the bento",
        TOO_LONG,
        [sys.executable, "-m", "twin_assets.export.bento", str(bentofile)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"BENTOML_HOME": str(home), "BENTOML_DO_NOT_TRACK": "True"},
    )
    lines = [line for line in (ended.stderr + ended.stdout).splitlines() if line.strip()]
    if ended.returncode:
        raise TwinError(
            f"BentoML could not build the bento: {(lines or [f'status {ended.returncode}'])[-1][:300]}",
            "see that the disk has room for the models; `bentoml build -f deploy/bento/llm.yaml .` shows what else is wrong.",
        )
    return lines[-1]


def main(arguments: Sequence[str]) -> None:
    """Entry point: BENTOFILE. Prints the folder, in the home of BentoML, of a bento with its models in it."""
    from bentoml.bentos import build_bentofile
    from bentoml.models import BentoModel

    [bentofile] = arguments
    bento = build_bentofile(bentofile, build_ctx=str(ROOT))
    # As BentoML itself does it for a container: where a bento has a folder of models, these are its model store.
    for model in bento.info.all_models:
        BentoModel(model.tag).resolve(Path(bento.path) / "models")
    print(bento.path)


if __name__ == "__main__":
    main(sys.argv[1:])
