"""Which files are images, which are labels, and which belong together: by names, and by the content of a few.

What follows from this for a source file, its templates and its label table, belongs in the room above.
"""
