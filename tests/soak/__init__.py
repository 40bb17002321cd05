"""Half an hour at 1,000 events a second with faults of every kind, one after the other.

`make soak` (SOAK_ARGS="--minutes 30 --rate 1000") prints figures and writes samples (CSV) and a picture (SVG) of the
bridge's memory. It fails if memory or handles grow, or if the oracle finds the topics wrong in the end.
"""
