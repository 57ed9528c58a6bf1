"""Scripts that measure, each run as a file; `benchmarks.pages` writes what they found into the pages."""
