"""A dataset as people have it: its folders, zips and buckets, the files in them, and the scenes that these make up.

Facts about one dataset belong in `sources`; what becomes of a scene belongs in `making`.
"""
