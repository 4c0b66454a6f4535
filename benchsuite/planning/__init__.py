"""A suite becomes cases for this machine, with what they are compared with and how long they take."""
