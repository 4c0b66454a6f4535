"""Decide whether head is slower than base: measure both in pairs of processes until each case is decided."""
