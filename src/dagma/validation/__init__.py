"""Can this stack load its settings and its definitions? Asked before anything is replaced, and by `dagma validate`."""
