"""What every network must keep, ours and everybody's: one check for each promise, and the report of them.

How a network is trained, scored or measured does not belong here.
"""
