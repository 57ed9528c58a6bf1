"""Shard folders shown to people: statistics, contact sheets, differences.

Nothing here decides whether a set is right: that is `checking`.
"""
