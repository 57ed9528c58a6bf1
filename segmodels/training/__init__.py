"""Training: the loop, its state, losses, optimisers, processes; and `verify`, which repeats its first steps.

What it leaves on disk belongs in `runs`, what it reads in `data`.
"""
