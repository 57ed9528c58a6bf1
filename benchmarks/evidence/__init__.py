"""Experiments on real frames (CamVid): what the five sources claim, and what our trainings show of it.

`plan.yaml` says which networks are trained how, and what is compared; `python -m benchmarks.evidence` does it.
"""
