"""The two BentoML services: an LLM service that serves what is in production, and the twin in front."""
