"""llama.cpp in a process of its own, asked over a pipe by `readers.LlamaCppReader`.

Native code that aborts takes its process with it. And beside PyTorch or OpenVINO in one thread it does abort on CPUs with AMX:
ggml loads the configuration of the tiles once a thread, and oneDNN releases it after each of its products.
"""

import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from twin_assets.inference.generation.sampling import REPETITION_PENALTY, TOP_K, TOP_P


def serve(pipe: Connection, file: str, window: int, threads: int) -> None:
    """Answer the name and arguments of a method of `LlamaCpp` with what it gives, until the other side closes the pipe.

    The first thing sent is the binding's version.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this, and ends it
    model = LlamaCpp(file, window, threads)
    pipe.send(model.version)
    while True:
        try:
            name, given = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(model, name)(*given))


class LlamaCpp:
    """A GGUF file by llama.cpp's Python binding."""

    def __init__(self, file: str, window: int, threads: int) -> None:
        import llama_cpp

        self.version = llama_cpp.__version__
        self._model = llama_cpp.Llama(
            file, n_ctx=0, n_threads=threads, logits_all=False, last_n_tokens_size=1 << 16, verbose=False
        )
        self._scoring = llama_cpp.Llama(file, n_ctx=window, n_threads=threads, logits_all=True, verbose=False)

    def metadata(self) -> dict[str, str]:
        """What the file says of itself."""
        return dict(self._model.metadata)

    def tokens(self, text: str) -> list[int]:
        return list(self._model.tokenize(text.encode(), add_bos=False, special=True))

    def losses(self, tokens: Sequence[int]) -> np.ndarray:
        """Nats of each token but the first, shape (tokens - 1,)."""
        self._scoring.reset()
        self._scoring.eval(list(tokens))
        return token_losses(self._scoring.scores[: len(tokens) - 1], tokens)

    def write(
        self, prompt: str, max_tokens: int, temperature: float, seed: int
    ) -> tuple[str, int, int, str | None]:
        """A text, the tokens of the prompt and of the text, and why it ended."""
        import llama_cpp

        read = self.tokens(prompt)
        answer: Any = self._model.create_completion(
            read,
            max_tokens=max_tokens,
            temperature=temperature,
            top_k=TOP_K,
            top_p=TOP_P,
            min_p=0.0,
            repeat_penalty=1.0,  # the binding's own leaves the prompt out, which the service's doesn't
            logits_processor=llama_cpp.LogitsProcessorList([_penalise]),
            seed=seed,
        )
        choice = answer["choices"][0]
        return choice["text"], len(read), answer["usage"]["completion_tokens"], choice["finish_reason"]


def _penalise(tokens: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The service's repetition penalty: on every token of the prompt and the text."""
    seen = np.unique(tokens)
    scores[seen] = np.where(
        scores[seen] < 0, scores[seen] * REPETITION_PENALTY, scores[seen] / REPETITION_PENALTY
    )
    return scores


def token_losses(logits: np.ndarray, tokens: Sequence[int]) -> np.ndarray:
    """Negative log-likelihood in nats of each token but the first, of logits of shape (tokens - 1, vocabulary)."""
    high = logits.max(axis=-1, keepdims=True)
    total = np.log(np.exp(logits - high).sum(axis=-1)) + high[:, 0]
    return total - logits[np.arange(len(tokens) - 1), np.asarray(tokens[1:])]
