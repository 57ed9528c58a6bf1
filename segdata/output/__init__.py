"""The place that `--out` names: what is there, whether it may be replaced, and where unfinished work is kept.

What is written into the place belongs in `making`.
"""
