"""Which edges carry a behaviour? Searches for circuits, scores of edges, and how faithful a circuit is."""
