"""A GGUF file says what its model says: held against the original by transformers, and by llama.cpp where it is installed."""

import importlib.util
import os
import shutil
import signal
import subprocess
from contextlib import closing
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from tests.export.small_models import HARD, LLAMA3_ROPE, save_model
from tests.training.base_models.family_tokenizers import load, save_tokenizer
from twin_assets.core.errors import TwinError
from twin_assets.core.models.families import load_families
from twin_assets.core.prompts.templates import served_prompt
from twin_assets.export.gguf_file import FileKind, tensor_kinds, write_gguf
from twin_assets.export.modelfile import CHATML, is_chatml, render_modelfile
from twin_assets.export.quantiser import COMMAND, quantise
from twin_assets.export.readers import LlamaCppReader, TransformersReader
from twin_assets.training.base_models.nano import CHAT_TEMPLATE

FAMILIES = [
    ("llama", "gpt-2", {}),
    ("llama", "smollm", {"tie_word_embeddings": False}),
    ("mistral", "tekken", {"tie_word_embeddings": False}),
    ("qwen2", "qwen2", {}),
    ("qwen3", "qwen2", {"head_dim": 128}),
]
SCALED = ("llama", "llama-bpe", {"rope_parameters": LLAMA3_ROPE})
CLOSE = {"f16": 0.05, "q8_0": 0.1, "q4_0": 1.0, "q4_1": 1.0}  # nats of a token's loss, of a random model


def exported(folder: Path, kind: FileKind = "f16") -> Path:
    file = folder.parent / f"{folder.name}-{kind}.gguf"
    write_gguf(folder, file, kind, "small", "MIT")
    return file


@pytest.mark.parametrize(("kind", "cut", "changes"), FAMILIES)
def test_transformers_reads_the_file_as_it_reads_the_folder(
    kind: str, cut: str, changes: dict[str, object], tmp_path: Path
) -> None:
    folder = save_model(tmp_path / "model", kind, cut, **changes)
    ours, theirs = TransformersReader(folder), TransformersReader(exported(folder))
    tokens = ours.tokens(HARD)
    assert np.abs(ours.losses(tokens) - theirs.losses(tokens)).max() < CLOSE["f16"]


@pytest.mark.parametrize(("kind", "cut", "changes"), [*FAMILIES, SCALED])
def test_llama_cpp_reads_the_file_as_transformers_reads_the_folder(
    kind: str, cut: str, changes: dict[str, object], tmp_path: Path
) -> None:
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: `pip install -e '.[export]'`")
    folder = save_model(tmp_path / "model", kind, cut, **changes)
    ours, template = TransformersReader(folder), AutoTokenizer.from_pretrained(folder)
    with closing(LlamaCppReader(exported(folder), folder)) as theirs:
        tokens = ours.tokens(HARD)
        assert theirs.tokens(HARD) == tokens
        asked = served_prompt(
            template, [{"role": "system", "content": HARD}, {"role": "user", "content": HARD}]
        )
        assert theirs.tokens(asked) == ours.tokens(asked)
        assert theirs.ask("metadata")["tokenizer.chat_template"] == CHAT_TEMPLATE
        assert np.abs(ours.losses(tokens) - theirs.losses(tokens)).max() < CLOSE["f16"]


def test_llama_cpp_that_aborts_takes_nobody_with_it(tmp_path: Path) -> None:
    """As it does on CPUs with AMX in one thread with PyTorch, and with a build for another CPU."""
    pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed: `pip install -e '.[export]'`")
    folder = save_model(tmp_path / "model")
    with closing(LlamaCppReader(exported(folder), folder)) as reader:
        assert reader.tokens("a")
        assert reader._process.pid
        os.kill(reader._process.pid, signal.SIGILL)
        with pytest.raises(TwinError, match=r"ended while it read the file \(status -4\)"):
            reader.losses([1, 2])


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "q4_1"])
def test_a_quantised_file_is_smaller_and_near(kind: FileKind, tmp_path: Path) -> None:
    folder = save_model(
        tmp_path / "model", intermediate_size=344
    )  # 32 doesn't divide it: those tensors stay f16
    whole, file = exported(folder), exported(folder, kind)
    assert file.stat().st_size < whole.stat().st_size * 0.8
    assert tensor_kinds(file)["f16"] == 2
    assert tensor_kinds(file)[kind] >= 12
    ours, theirs = TransformersReader(folder), TransformersReader(file)
    tokens = ours.tokens(HARD)
    lost = np.abs(ours.losses(tokens) - theirs.losses(tokens)).mean()
    assert lost < CLOSE[kind]


def test_q4_k_m_is_made_by_llama_cpp_or_says_what_is_missing(tmp_path: Path) -> None:
    source, target = exported(save_model(tmp_path / "model")), tmp_path / "q4.gguf"
    if not shutil.which(COMMAND) and not importlib.util.find_spec("llama_cpp"):
        with pytest.raises(TwinError, match="not here") as missing:
            quantise(source, target)
        assert "pip install llama-cpp-python" in missing.value.fix
        assert "q8_0" in missing.value.fix
        assert not target.exists()
        return
    quantise(source, target)
    assert tensor_kinds(target)["q4_k"]
    with pytest.raises(TwinError, match="could not quantise"):
        quantise(tmp_path / "model" / "config.json", tmp_path / "none.gguf")


def test_what_has_no_counterpart_is_refused_and_those_that_have_are_named(tmp_path: Path) -> None:
    import json

    folder = save_model(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    for changes, said in (
        ({"model_type": "gemma3_text"}, "llama, mistral, qwen2, qwen3"),
        ({"hidden_act": "gelu"}, "hidden_act=gelu"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "rope_type=yarn"),
    ):
        (folder / "config.json").write_text(json.dumps(config | changes))
        with pytest.raises(TwinError, match="can't be written as GGUF") as refused:
            exported(folder)
        assert said in str(refused.value)
    (folder / "config.json").write_text(json.dumps(config))
    told = json.loads((folder / "tokenizer.json").read_text())
    (folder / "tokenizer.json").write_text(json.dumps(told | {"pre_tokenizer": {"type": "Metaspace", "replacement": "_", "prepend_scheme": "always", "split": True}}))  # fmt: skip
    with pytest.raises(TwinError, match="cuts text") as refused:
        exported(folder)
    assert "Tekken" in refused.value.fix


def test_the_modelfile_has_the_template_only_where_it_is_the_same(tmp_path: Path) -> None:
    chatml = AutoTokenizer.from_pretrained(save_model(tmp_path / "model"))
    written = render_modelfile("a.gguf", chatml, "You are Runa.")
    assert f'TEMPLATE """{CHATML}"""' in written
    assert 'SYSTEM """You are Runa."""' in written
    assert "SYSTEM" not in render_modelfile("a.gguf", chatml, 'Say """no""".')
    chatml.chat_template = CHAT_TEMPLATE.replace("message['content']", "message['content'] | trim")
    assert not is_chatml(chatml)
    for name, family in load_families().items():
        save_tokenizer(name, tmp_path / name)
        other = load(tmp_path / name)
        other.chat_template = (
            family.template.apply(other.chat_template) if family.template else other.chat_template
        )
        other_file = render_modelfile("a.gguf", other, None)
        assert "TEMPLATE" not in other_file.replace("# Without TEMPLATE", ""), name
        assert "tokenizer.chat_template" in other_file


GO = """
package main

import ("encoding/json"; "os"; "text/template")

type Message struct { Role, Content string }

func main() {
	var all [][]Message
	json.NewDecoder(os.Stdin).Decode(&all)
	source, _ := os.ReadFile(os.Args[1])
	parsed := template.Must(template.New("").Parse(string(source)))
	for _, messages := range all {
		parsed.Execute(os.Stdout, map[string]any{"Messages": messages})
		os.Stdout.Write([]byte{0})
	}
}
"""


@pytest.mark.skipif(not shutil.which("go"), reason="Go is not installed, whose templates Ollama's are")
def test_gos_own_templates_write_what_the_models_template_writes(tmp_path: Path) -> None:
    import json

    (tmp_path / "main.go").write_text(GO)
    (tmp_path / "template").write_text(CHATML)
    tokenizer = AutoTokenizer.from_pretrained(save_model(tmp_path / "model"))
    contents = ["plain", "  spaced \n\n", "", HARD.replace("\r", ""), "{{ .Role }} <b> & \"'"]
    asked = [
        [{"role": "system", "content": system}, {"role": "user", "content": user}, *more]
        for system, user in product(contents, contents)
        for more in ([], [{"role": "assistant", "content": user}, {"role": "user", "content": system}])
    ]
    ran = subprocess.run(
        ["go", "run", str(tmp_path / "main.go"), str(tmp_path / "template")],
        input=json.dumps(asked).encode(), capture_output=True, check=True,
    )  # fmt: skip
    assert ran.stdout.decode().split("\0")[:-1] == [served_prompt(tokenizer, turns) for turns in asked]
