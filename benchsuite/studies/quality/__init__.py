"""Do the intervals of quality hold what they promise? Worlds whose truth is known, and how often it is covered."""
