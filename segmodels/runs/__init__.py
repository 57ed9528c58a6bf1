"""The folder of a training: its identity, environment, checkpoints and results, and the progress that is told of it.

What fills it belongs in `training`.
"""
