"""The chat template that a base model carries, and the values its family fixes in it.

A template may leave something open to whoever renders it: a date, whether to think first. Left open,
training and serving would differ. Fixed in the template itself, whatever reads the model agrees.
"""

import json
from pathlib import Path

from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import TemplateFix

FILE = "chat_template.jinja"  # transformers prefers it to the template in tokenizer_config.json


def read_template(folder: Path) -> str:
    """The chat template of a model folder; raises TwinError when it has none, as of an untuned model."""
    if (path := folder / FILE).is_file():
        return path.read_text()
    template = json.loads((folder / "tokenizer_config.json").read_text()).get("chat_template")
    if isinstance(template, list):  # several by name: tools, retrieval and so on
        template = next((t["template"] for t in template if t["name"] == "default"), None)
    if not template:
        raise TwinError(
            f"The model in {folder} has no chat template.", "use its instruct version, which has one."
        )
    return template


def with_fixed_template(folder: Path, fix: TemplateFix, scratch: Path) -> Path:
    """A folder of links to the model's files, beside its chat template with the family's fix.

    The model's own folder stays as it is; weights are not copied. Raises TwinError when the tokenizer has no such token as
    the fix says that answers end with.
    """
    template = read_template(folder)
    for path in folder.rglob("*"):
        if path.is_file() and path.name != FILE:
            link = scratch / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    (scratch / FILE).write_text(fix.apply(template))
    if fix.end:
        _set_end(scratch, fix.end)
    return scratch


def _set_end(folder: Path, token: str) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if token not in tokenizer.get_vocab():
        raise TwinError(
            f"The tokenizer of the model does not know {token}, with which its family ends an answer.",
            "name a model of that family, or another family in front of the profile's size.",
        )
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        if (path := folder / name).is_file():
            values = json.loads(path.read_text())
            path.unlink()  # a link to the model's own
            path.write_text(json.dumps(values | {"eos_token": token}, ensure_ascii=False))
