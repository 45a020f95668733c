"""Sends a text to where it is published: LinkedIn's and X's APIs, a webhook, or the composer of a site."""
