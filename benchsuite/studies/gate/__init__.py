"""The gate beside the rules of other tools."""
