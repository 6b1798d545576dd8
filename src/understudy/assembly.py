"""The object graph: the only module that may import every room."""
