"""Weights to start from: what of a file is taken, and by which names.

Checkpoints of our own runs belong in `runs`.
"""
