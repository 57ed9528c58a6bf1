"""`verify`: checks that a shard folder is undamaged, its files by their digests, its targets by its pixels.

Faults of a raw dataset are found in `raw` and `making`.
"""
