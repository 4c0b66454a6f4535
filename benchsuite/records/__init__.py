"""The files of a run: its words, its schema, one reader, and runs in other people's formats."""
