"""Writes a model version into a folder for other programs: a GGUF file with its Modelfile, whole weights, or its adapter."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, get_args

from twin_assets.core.errors import TwinError
from twin_assets.core.models.adapters import is_adapter
from twin_assets.core.models.card import render_card
from twin_assets.core.models.registry import STORE_FILE
from twin_assets.core.models.version import ModelVersion
from twin_assets.core.templates import render
from twin_assets.export.gguf_file import FileKind, tensor_kinds, write_gguf
from twin_assets.export.judge import ExportVerdict
from twin_assets.export.modelfile import is_chatml, render_modelfile
from twin_assets.export.quantiser import check_quantiser, quantise

Format = Literal["gguf", "merged", "adapter"]
Quantization = Literal["f16", "q8_0", "q4_0", "q4_1", "q4_k_m"]
ADAPTER, RECORD = "adapter", ("README.md", "version.json", "training")
# Judges a GGUF file beside the folder of whole weights that it was made of; or says why it is not judged.
JudgeExport = Callable[[Path, Path], ExportVerdict | str]


def export_version(
    version: ModelVersion,
    whole: Path,
    target: Path,
    to: Format,
    quantization: Quantization = "q8_0",
    system: str | None = None,
    judge: JudgeExport | None = None,
    beside: bool = False,
) -> Path:
    """Write the version to the folder `target`, which appears whole or, when anything goes wrong, not at all.

    `whole` is the folder of its whole weights, its own or what an adapter was merged into. `system` is what the persona's service says first, for the Modelfile. With `beside`, whole
    weights have the adapter that they were merged with and the record of the training beside them. Raises TwinError where `target` holds something
    already, where the version has no adapter, and where the model can't be written in this format.
    """
    refuse_full(target)
    if to == "gguf" and quantization == "q4_k_m":
        check_quantiser()
    with scratch_beside(target) as staged:
        staged.chmod(0o755)
        if to == ADAPTER:
            _copy_adapter(version, staged)
            about = ""
        elif to == "merged":
            left_out = (STORE_FILE,) if beside else (ADAPTER, STORE_FILE)
            shutil.copytree(whole, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*left_out))
            if beside and version.base:
                _copy_beside(version, staged)
            about = ""
        else:
            about = _write_gguf(version, whole, staged, quantization, system, judge)
        (staged / "README.md").write_text(render_card(version) + about)
        appear(staged, target)
    return target


@contextmanager
def scratch_beside(target: Path) -> Iterator[Path]:
    """A folder on the same disk, which is gone in the end. Raises TwinError for what can't be written there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        yield scratch
    except OSError as error:
        raise TwinError(f"{target} can't be written: {error}.", "name another folder.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def appear(made: Path, target: Path) -> None:
    """Move a whole folder to its place. Raises TwinError where something came there meanwhile."""
    refuse_full(target)
    made.rename(target)


def refuse_full(folder: Path) -> None:
    """Raises TwinError when there is something in the way."""
    if folder.is_file() or (folder.exists() and any(folder.iterdir())):
        raise TwinError(f"{folder} is not empty.", "name a folder that isn't there yet, or an empty one.")


def _copy_beside(version: ModelVersion, staged: Path) -> None:
    """The version's own files: its record, and in a folder the adapter."""
    (staged / ADAPTER).mkdir()
    for path in version.path.iterdir():
        target = staged / path.name if path.name in RECORD else staged / ADAPTER / path.name
        if path.name != STORE_FILE:
            (shutil.copytree if path.is_dir() else shutil.copy2)(path, target)


def _copy_adapter(version: ModelVersion, staged: Path) -> None:
    adapter = version.path if version.base else version.path / ADAPTER
    if not is_adapter(adapter):
        raise TwinError(
            f"{version.tag} has no adapter: it was not trained with LoRA.", "use --format merged or gguf."
        )
    shutil.copytree(adapter, staged, dirs_exist_ok=True, ignore=shutil.ignore_patterns(STORE_FILE))


def _write_gguf(
    version: ModelVersion,
    whole: Path,
    staged: Path,
    quantization: Quantization,
    system: str | None,
    judge: JudgeExport | None,
) -> str:
    """The GGUF file and its Modelfile; what the card says of them."""
    from transformers import AutoTokenizer

    name = version.tag.replace(":", "-")
    file = staged / f"{name}-{quantization}.gguf"
    kind = quantization if quantization in get_args(FileKind) else "f16"
    first = file if kind == quantization else staged / f"{name}-f16.gguf"
    write_gguf(whole, first, kind, version.tag, version.about.license)  # type: ignore[arg-type]
    if first != file:
        quantise(first, file)
        first.unlink()
    tokenizer = AutoTokenizer.from_pretrained(whole, local_files_only=True)
    (staged / "Modelfile").write_text(render_modelfile(file.name, tokenizer, system))
    verdict = judge(file, whole) if judge else "nobody asked for it"
    return render(
        "export/card.md",
        name=name,
        file=file.name,
        size=file.stat().st_size / 1e6,
        quantization=quantization,
        kinds=tensor_kinds(file),
        has_template=bool(tokenizer.chat_template),
        in_modelfile=is_chatml(tokenizer),
        verdict=verdict if isinstance(verdict, ExportVerdict) else None,
        why=verdict if isinstance(verdict, str) else "",
    )
