"""Collect garbage less often in every Python process of Langflow.

Langflow builds a graph of many small objects for each call. With Python's own thresholds a full collection stops its
one worker for up to a second while many callers wait. Python imports this module by itself at each start.
"""

import gc

gc.set_threshold(50_000, 50, 1000)
