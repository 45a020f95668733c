"""The demo persona: its writing, and local sites that serve it."""
