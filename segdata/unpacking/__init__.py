"""Back again: a shard set as plain folders of images and label ids, with the source file that prepares them again.

How a set is read belongs in `reading`, what a source file means in `sources`.
"""
