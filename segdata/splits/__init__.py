"""Which frames stand in which split, where not the publisher says so: lists of frames, shares and folds of groups.

The official splits belong in `sources`; how a split is cut into shards belongs in `making`.
"""
