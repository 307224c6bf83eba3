"""Sekoia's intake, without the SDK: bodies, receipts, and what it does not take.

Knows nothing of where events come from.
"""
