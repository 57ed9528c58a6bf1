"""Raw labels, taxonomies, the map from one to the other, and the targets that networks learn.

How label maps are stored as files does not belong here: that is `pictures` and `raw`.
"""
