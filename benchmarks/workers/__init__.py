"""How does each tool do the same job? One program each, run in an environment of its own."""
