"""What a worker does for one case: speed, operators, other people's training steps, quality."""
