"""Cases become records: rounds of processes that take turns, trainings, fork servers, Slurm."""
