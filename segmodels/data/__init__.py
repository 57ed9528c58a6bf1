"""From shards and image files to batches: crops, augmentation, order.

How shards are stored and read belongs in segdata.
"""
