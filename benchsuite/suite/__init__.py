"""A suite file becomes a checked `Suite`."""
