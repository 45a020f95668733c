"""Real people walked through the whole pipeline: `python -m benchmarks.people`."""
