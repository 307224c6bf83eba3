"""HTTP for both ends: bodies are bounded, failures are retried, messages hold no keys.

Knows neither JumpCloud nor Sekoia.
"""
