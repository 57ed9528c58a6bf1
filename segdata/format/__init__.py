"""The bytes of a shard folder: shards, receipts, index, counts and dataset.json, each written and read by one file.

How a folder is made, read in training or checked does not belong here.
"""
