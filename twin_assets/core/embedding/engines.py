"""What runs an embedding model: OpenVINO on a CPU, torch where there is a GPU or OpenVINO can't.

A sentence-transformers model (transformer, pooling, normalisation) is converted to OpenVINO once and
kept; then neither torch nor sentence-transformers need be loaded, which saves most of a process's
start. Where they aren't installed, a BERT model is built without them. OpenVINO computes in bfloat16 where the CPU has it.
`benchmarks/embedding.py` has the figures.
"""

import json
import logging
import secrets
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import numpy as np

from twin_assets.core.embedding.bert import bert_facts, build_bert, why_not_bert
from twin_assets.core.errors import TwinError
from twin_assets.core.hashing import text_hash

log = logging.getLogger(__name__)
_FACTS, _MODEL, _TOKENIZER = "facts.json", "model.xml", "tokenizer.json"
# Part of the name of a converted model: raise it when the conversion changes.
_CONVERSION = "2"


class Engine(Protocol):
    """A model that embeds token ids. `max_tokens` are read of a text, the rest is cut."""

    dimensions: int
    max_tokens: int

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids with special tokens, cut to `max_tokens`."""
        ...

    def embed(self, ids: list[list[int]]) -> np.ndarray:
        """Unit vectors, shape (n, dimensions), of one batch."""
        ...

    def embed_tokens(self, ids: list[list[int]]) -> list[np.ndarray]:
        """Unit vectors of each text's tokens, shape (tokens, dimensions), of one batch."""
        ...

    def count_tokens(self, text: str) -> int: ...


def open_engine(source: str, cache_dir: Path) -> Engine:
    """The engine for a model folder or hub id. Raises OSError when the model can't be read, and TwinError when it takes torch,
    which isn't installed."""
    folder = cache_dir / text_hash(f"{_CONVERSION}:{_identity(source)}")
    if not (folder / _FACTS).is_file():
        if find_spec("sentence_transformers") is None:
            build_without_torch(Path(source), folder)
            return OpenVINOEngine(folder)
        torch_engine = TorchEngine(source)
        if torch_engine.on_gpu or not _converted(torch_engine, folder):
            return torch_engine
    return OpenVINOEngine(folder)


def _identity(source: str) -> str:
    """The model's name, and for a folder what would change with its files."""
    folder = Path(source)
    if not folder.is_dir():
        return source
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return json.dumps(
        [[p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns] for p in files]
    )


def _padded(ids: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Token ids and attention mask, shape (n, longest), int64. Padding is masked, so any id will do."""
    tokens = np.zeros((len(ids), max(map(len, ids))), dtype=np.int64)
    mask = np.zeros_like(tokens)
    for row, these in enumerate(ids):
        tokens[row, : len(these)] = these
        mask[row, : len(these)] = 1
    return tokens, mask


def _unpadded(vectors: np.ndarray, ids: list[list[int]]) -> list[np.ndarray]:
    return [vectors[row, : len(these)] for row, these in enumerate(ids)]


class OpenVINOEngine:
    """See Engine. Reads what `_converted` left in a folder."""

    def __init__(self, folder: Path) -> None:
        import openvino
        from tokenizers import Tokenizer

        facts = json.loads((folder / _FACTS).read_text())
        self.dimensions, self.max_tokens = facts["dimensions"], facts["max_tokens"]
        self._tokenizer = Tokenizer.from_file(str(folder / _TOKENIZER))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_tokens)
        self._counter = Tokenizer.from_file(str(folder / _TOKENIZER))
        self._counter.no_padding()
        self._counter.no_truncation()
        self._model = openvino.Core().compile_model(folder / _MODEL, "CPU")
        self._request = self._model.create_infer_request()
        self._lock = Lock()  # a request runs one batch at a time, and uses every core for it

    def encode(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]

    def embed(self, ids: list[list[int]]) -> np.ndarray:
        return self._infer(ids, 0)

    def embed_tokens(self, ids: list[list[int]]) -> list[np.ndarray]:
        return _unpadded(self._infer(ids, 1), ids)

    def _infer(self, ids: list[list[int]], output: int) -> np.ndarray:
        tokens, mask = _padded(ids)
        with self._lock:  # what is shared is the model's own memory, so it is copied before the next batch
            outputs = self._request.infer({"input_ids": tokens, "attention_mask": mask}, share_outputs=True)
            return np.array(outputs[output], dtype=np.float32)

    def count_tokens(self, text: str) -> int:
        return len(self._counter.encode(text, add_special_tokens=False).ids)


class TorchEngine:
    """See Engine. The model as sentence-transformers loads it."""

    def __init__(self, source: str) -> None:
        from sentence_transformers import SentenceTransformer

        self.model: Any = SentenceTransformer(source).eval()
        self.dimensions = int(self.model.get_embedding_dimension())
        self.max_tokens = int(self.model.max_seq_length)
        self.on_gpu = self.model.device.type != "cpu"

    def encode(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        return list(self.model.tokenizer(texts, truncation=True, max_length=self.max_tokens)["input_ids"])

    def embed(self, ids: list[list[int]]) -> np.ndarray:
        return self._infer(ids, "sentence_embedding")

    def embed_tokens(self, ids: list[list[int]]) -> list[np.ndarray]:
        return _unpadded(self._infer(ids, "token_embeddings"), ids)

    def _infer(self, ids: list[list[int]], output: str) -> np.ndarray:
        import torch

        tokens, mask = (torch.from_numpy(part).to(self.model.device) for part in _padded(ids))
        with torch.inference_mode():
            vectors = self.model({"input_ids": tokens, "attention_mask": mask})[output]
            return torch.nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()

    def count_tokens(self, text: str) -> int:
        return len(self.model.tokenizer.encode(text, add_special_tokens=False, verbose=False))


def build_without_torch(source: Path, folder: Path) -> None:
    """Write a BERT model's folder as OpenVINO's, whole or not at all. Raises TwinError for a model of another kind."""
    import openvino

    if why := why_not_bert(source):
        raise TwinError(
            f"The embedder {str(source)!r} takes torch, which isn't installed here: {why}.",
            "install it (pip install 'llm-twin-platform[llm]'), or leave TWIN_EMBEDDER unset.",
        )
    with _staged(folder) as staged:
        openvino.save_model(build_bert(source), staged / _MODEL, compress_to_fp16=False)
        shutil.copyfile(source / _TOKENIZER, staged / _TOKENIZER)
        (staged / _FACTS).write_text(json.dumps(bert_facts(source)))


@contextmanager
def _staged(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` once all of it is written; nothing is left of one that failed."""
    staged = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        staged.mkdir(parents=True)
        yield staged
        if not folder.exists():  # else another process was quicker
            staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _converted(engine: TorchEngine, folder: Path) -> bool:
    """Convert a model into a folder, whole or not at all; False, with the reason logged, when it can't be."""
    tokenizer = getattr(engine.model.tokenizer, "backend_tokenizer", None)
    try:
        if tokenizer is None:
            raise ValueError("its tokenizer is not a fast one")
        with _staged(folder) as staged:
            _convert(engine, staged / _MODEL)
            tokenizer.save(str(staged / _TOKENIZER))
            facts = {"dimensions": engine.dimensions, "max_tokens": engine.max_tokens}
            (staged / _FACTS).write_text(json.dumps(facts))
            _check_same(engine, OpenVINOEngine(staged))
    except Exception as error:  # conversion fails in many ways, and torch embeds any model
        log.warning("The embedder runs on torch, since OpenVINO can't take it: %s", error)
        return folder.exists()
    return True


def _convert(engine: TorchEngine, path: Path) -> None:
    """Trace the whole model and save it. The front end is used directly: `convert_model` reports home."""
    import openvino
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    # OpenVINO imports absl, whose log handler closes the standard error of this moment when logging is set
    # up anew (as Axolotl does): the process's own is never closed.
    if absl_logging := sys.modules.get("absl.logging"):
        absl_logging.get_absl_handler().python_handler.setStream(sys.__stderr__)

    class Whole(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = engine.model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            whole = self.model({"input_ids": input_ids, "attention_mask": attention_mask})
            outputs = whole["sentence_embedding"], whole["token_embeddings"]
            return tuple(torch.nn.functional.normalize(part, dim=-1) for part in outputs)

    example = torch.ones((2, 16), dtype=torch.long)
    with torch.no_grad():
        decoder = TorchScriptPythonDecoder(
            Whole().eval(), example_input={"input_ids": example, "attention_mask": example}
        )
        front_end = FrontEndManager().load_by_framework("pytorch")
        openvino.save_model(front_end.convert(front_end.load(decoder)), path, compress_to_fp16=False)


def _check_same(engine: TorchEngine, converted: OpenVINOEngine) -> None:
    """A converted model must give the same vectors; tracing may freeze what depended on its example."""
    texts = ["a", "The tide table was late again.", "word " * 400]
    ids = engine.encode(texts)
    if ids != converted.encode(texts):
        raise ValueError("its tokenizer differs when converted")
    cosines = (engine.embed(ids) * converted.embed(ids)).sum(axis=1)
    if cosines.min() < 0.999:
        raise ValueError(f"its vectors differ when converted (cosine {cosines.min():.4f})")
