"""What does it cost, beside a bare forward pass and beside other tools? Run ``python -m benchmarks.engine``."""
