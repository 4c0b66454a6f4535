"""Verdicts on trained models, from their records: deltas, token ratios, trends over scales."""
