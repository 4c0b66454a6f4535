"""Measurements of one case in a worker: speed, operators, other people's training steps, quality."""
