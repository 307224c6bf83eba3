"""The core: what to read and when, which events of it are new, and when they count as delivered.

Loads neither HTTP, nor the disk, nor the SDK: those come in as objects.
"""
