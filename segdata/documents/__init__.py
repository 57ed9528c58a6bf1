"""JSON and YAML as programs and people write them: read, never guessed. A key that stands twice is an error.

What a document has to hold belongs to the rooms whose documents they are.
"""
