"""Which parts of retrieval are on. A persona's YAML sets them, a request may override them.

The defaults are what earned its place in `benchmarks/retrieval.py`; docs/retrieval.md has the figures.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class RetrievalOptions(BaseModel):
    """The parts of retrieval, each with a switch."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    condense: Literal["auto", "model", "rules", "off"] = Field(
        default="auto",
        description="Make a question of a talk stand alone, by the engine's model or by rules. auto: by the model where TWIN_LLM_MODEL "
        "names one of another engine, else by rules.",
    )
    alpha: float = Field(default=0.7, ge=0, le=1, description="1 searches by meaning only, 0 by words only.")
    route: bool = Field(
        default=True, description="Search nothing for small talk and for work on a text given."
    )
    self_query: bool = Field(
        default=True, description="Read source, category and date of writing off a question."
    )
    expand: bool = Field(default=False, description="Search several wordings of a question.")
    one_per_document: bool = Field(
        default=True, description="A second passage of a document only when others run out."
    )
    rerank: Literal["off", "auto", "late_interaction", "cross_encoder"] = Field(
        default="auto", description="auto: a cross-encoder where TWIN_RERANKER names one, else nothing."
    )
    rerank_depth: int = Field(default=20, ge=1, le=100, description="Passages that are ranked again.")
    compress: bool = Field(default=True, description="Of a long passage, keep the sentences that matter.")
    agent_steps: int = Field(
        default=2,
        ge=0,
        le=5,
        description="Times a planner model may look at what was found and search again.",
    )
