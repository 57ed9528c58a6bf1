"""A dataset as people have it: its folders, zips and object stores, the files in them, and the scenes that they form.

Facts about one dataset belong in `sources`; what becomes of a scene belongs in `making`.
"""
