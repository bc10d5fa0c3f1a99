"""What does a network give when only some edges between its nodes carry its own values? Exact runs of any edge set."""
