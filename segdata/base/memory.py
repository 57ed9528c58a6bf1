"""Keep freed memory in the process: pictures of megabytes come and go by the hundred a second."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST_KEPT = 32 << 20  # glibc accepts no larger threshold


def keep_freed_memory() -> None:
    """Ask glibc for it: else every picture's pages are given back and fetched anew, up to a fifth of the time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST_KEPT)
        mallopt(M_TRIM_THRESHOLD, 1 << 30)
