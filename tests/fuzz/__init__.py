"""What reads other people's bytes, fed with nonsense for as long as one likes.

``python -m tests.fuzz TARGET SECONDS`` needs the extra ``fuzz``; the targets themselves, fed with
their seeds, are tried with the other tests.
"""
