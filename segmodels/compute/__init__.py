"""The device a network runs on: its arithmetic, its memory, and deterministic replacements for its operations.

Nothing here knows a network.
"""
