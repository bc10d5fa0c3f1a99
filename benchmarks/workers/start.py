"""How does a worker begin? With one thread, the job of the folder it was given, and no warnings about tokenizers."""

import sys

import torch

from benchmarks.job import Job, read_job


def start() -> Job:
    """The job in the folder that the command line names."""
    torch.set_num_threads(1)
    return read_job(sys.argv[1])
