"""Intervals, paired comparisons of speed and of quality, and the verdicts that follow from them."""
