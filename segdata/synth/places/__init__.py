"""Whole scenes, a street and a track: which things stand where.

How a thing looks is for `things`; how a dataset names its files is for `layouts`."""
