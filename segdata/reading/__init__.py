"""Shard folders read again, from a disk or by URL: `ShardSet`, its order, what it fetches ahead.

What looks at a set for people belongs in `looking`, what checks it in `checking`.
"""
