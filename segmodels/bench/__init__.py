"""`segmodels bench`: measures time, memory and energy of networks, every measurement in its own process.

Scores belong in `scoring` and `knobs`.
"""
