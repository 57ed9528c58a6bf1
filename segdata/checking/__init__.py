"""Whether a shard folder is what it says: its files against their digests, its pixels against their targets.

Faults of a raw dataset are found in `raw` and `making`.
"""
