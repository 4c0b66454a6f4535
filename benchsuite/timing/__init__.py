"""How long, and how much memory: clock, sampler, memory pass."""
