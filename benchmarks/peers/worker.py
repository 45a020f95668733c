"""The loop of a peer engine's process: it runs under the interpreter that has the peer, so it imports nothing of ours.

A line of JSON comes in for each request, `{"prompts": [[token, ...], ...], "tokens": n}`;
one goes out, `{"seconds": s}` or `{"error": why}`.
"""

import json
import os
import sys
import time
from collections.abc import Callable

# As the product samples (twin_assets.inference.generation.sampling).
TEMPERATURE, TOP_K, TOP_P, REPETITION_PENALTY = 0.8, 50, 0.95, 1.1


def serve(write: Callable[[list[list[int]], int], list[int]]) -> None:
    """Answer until the input ends. `write` returns how many tokens it wrote for each prompt."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what engines print goes with the errors
    answers.write('{"ready": true}\n')
    answers.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.perf_counter()
        written = write(asked["prompts"], asked["tokens"])
        answer: dict[str, object] = {"seconds": time.perf_counter() - start}
        if written != [asked["tokens"]] * len(asked["prompts"]):
            answer = {"error": f"wrote {written} tokens, not {asked['tokens']} each"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
