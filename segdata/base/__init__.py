"""What everything else uses: files and locks, canonical bytes, numbers, processes.

What is here knows nothing of datasets, pictures or shards; what does belongs in another room.
"""
