"""Time, identifiers and tasks: what the rest takes as arguments so that tests can hold it still.

Knows nothing of Kubernetes. It is the only room that may ask the operating system for the time,
for randomness, or for a new task.
"""
