"""A kit for a GPU machine without a network: one folder to carry there, one command to run, one archive to bring back.

make.kit(Path("kit"), target)          # benchsuite's wheel, the wheels that the machine lacks, and a runner
python3 kit/run.py                     # there: results.zip, complete after every stage, in under nine minutes
results.runs(results.extract(...))     # here: the run directories in the archive
"""
