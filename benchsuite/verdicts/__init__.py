"""What the records of trained models say: deltas, token ratios, trends over scales, and whether they are decided."""
