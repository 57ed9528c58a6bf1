"""From a dataset to a shard folder: plan, convert, build the shards, assemble the folder.

How one file of the folder looks belongs in `format`; how a picture is coded belongs in `pictures`.
"""
