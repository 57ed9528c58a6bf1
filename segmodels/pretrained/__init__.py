"""Loads weights to start from: which tensors of a file are used, and how their names are matched.

Checkpoints of our own runs belong in `runs`.
"""
