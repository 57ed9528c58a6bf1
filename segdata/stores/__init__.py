"""Reads and writes files in folders, object stores and web servers, and keeps a cache on the local disk.

What the files mean does not belong here.
"""
