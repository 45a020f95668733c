"""The Modelfile with which `ollama create` takes an exported GGUF file: template, system turn, and how the service samples.

https://docs.ollama.com/modelfile
"""

from itertools import product
from typing import Any

from jinja2 import TemplateError

from twin_assets.core.prompts.templates import served_prompt
from twin_assets.inference.generation.sampling import REPETITION_PENALTY, TOP_K, TOP_P, Sampling

# ChatML in the language of Ollama's templates, which is Go's text/template. `Messages` begins with the system turn.
CHATML = """\
{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
_QUOTES = '"""'
# What a template may treat in a way of its own: space at the ends, nothing, thoughts, calls of tools.
_CONTENTS = (
    "Plain words.",
    "  led by space\n\nand followed \n",
    "",
    "<think>\nso\n</think>\n\nThus.",
    "{{ x }} [1] <tool_call>",
)


def render_modelfile(file: str, tokenizer: Any, system: str | None) -> str:
    """A Modelfile for the GGUF file beside it, with the served system turn of the persona if there is one."""
    lines = [f"FROM ./{file}"]
    if is_chatml(tokenizer):
        lines += [
            "# The model's own chat template, in Ollama's language.",
            f"TEMPLATE {_QUOTES}{CHATML}{_QUOTES}",
        ]
    else:
        lines.append(
            "# Without TEMPLATE: the chat template is in the GGUF file (tokenizer.chat_template), and has no form in Ollama's "
            "language that could be shown to be equal."
        )
    if system and _QUOTES not in system:
        lines += ["# What the service tells the model first.", f"SYSTEM {_QUOTES}{system}{_QUOTES}"]
    ends = [tokenizer.eos_token] if tokenizer.eos_token else []
    values = {
        "temperature": Sampling(1).temperature, "top_k": TOP_K, "top_p": TOP_P, "min_p": 0.0,
        "repeat_penalty": REPETITION_PENALTY, "repeat_last_n": -1,
    }  # fmt: skip
    lines += [f"PARAMETER {name} {value}" for name, value in values.items()]
    lines += [f'PARAMETER stop "{end}"' for end in ends]
    return "\n".join(lines) + "\n"


def is_chatml(tokenizer: Any) -> bool:
    """Whether the model's template writes a conversation with a system turn exactly as CHATML does.

    Held against each other on every conversation of up to three turns after the system's whose contents are all in
    which templates are known to differ.
    """
    if not tokenizer.chat_template:
        return False
    roles = ("user", "assistant", "user")
    try:
        for turns in (1, 2, 3):
            for system, *contents in product(_CONTENTS, repeat=turns + 1):
                told = [{"role": "system", "content": system}]
                told += [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
                if served_prompt(tokenizer, told) != _chatml(told):
                    return False
    except TemplateError:
        return False
    return True


def _chatml(turns: list[dict[str, str]]) -> str:
    said = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns)
    return f"{said}<|im_start|>assistant\n"
