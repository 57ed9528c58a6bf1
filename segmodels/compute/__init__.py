"""The device a network runs on: its arithmetic, threads and memory, and deterministic replacements for its operations.

Nothing here knows a network.
"""
