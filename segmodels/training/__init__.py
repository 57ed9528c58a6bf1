"""Training and its repetition: the loop, its state, losses, optimisers, processes.

What it leaves on disk belongs in `runs`, what it reads in `data`.
"""
