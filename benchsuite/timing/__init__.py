"""Measure time and memory: clock, sampler, memory pass."""
