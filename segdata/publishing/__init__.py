"""Shard folders in object stores: uploaded, listed by version, removed.

How a published set is read belongs in `reading`.
"""
