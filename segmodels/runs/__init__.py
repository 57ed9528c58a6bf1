"""The folder of a training: its identity, its environment, its checkpoints and results.

What fills it belongs in `training`.
"""
