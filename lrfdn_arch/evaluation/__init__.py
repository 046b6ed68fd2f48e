"""Protocols, metrics and counters that judge a network."""
