"""Where bytes are: folders, object stores and web servers, behind one interface, and a cache on the local disk.

What the bytes mean does not belong here.
"""
