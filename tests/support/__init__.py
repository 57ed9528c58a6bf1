"""What several tests stand on: damaged files, injected failures, pinned digests, plain frames.

Tests themselves, and what one room of tests needs alone, do not belong here.
"""
