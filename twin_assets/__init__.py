"""The Dagster code location that turns one person's writing into an LLM Twin."""
