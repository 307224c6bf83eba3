"""The way through: what to read and when, what is new of it, and when it is done.

Loads neither HTTP, nor the disk, nor the SDK: those come in as objects.
"""
