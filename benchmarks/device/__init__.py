"""What a machine with a CUDA device must show, in one command: `pack`, `run` and `collect`.

Here: the cards (one measurement each), what works through them, and what carries data there and results back.
Not here: how a thing is measured where a script of `benchmarks/` does it already; the cards call that.
"""
