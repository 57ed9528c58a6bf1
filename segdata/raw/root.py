"""Where a dataset begins: the tree of its files, by what its root is."""

from pathlib import Path

from segdata.raw.folder import FolderTree
from segdata.raw.tree import Tree
from segdata.stores.url import Place


def open_tree(root: Place) -> Tree:
    """The files at a path, or in a store."""
    if isinstance(root, Path):
        return FolderTree(root)
    from segdata.raw.bucket import StoreTree

    return StoreTree(root)
