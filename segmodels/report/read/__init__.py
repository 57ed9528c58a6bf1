"""What the report reads: runs, scores, shard sets, sweeps, checked before anything is drawn.

Nothing here needs a network or writes a page.
"""
