"""Is head slower than base? Two sides, measured in pairs of processes until each case is decided."""
