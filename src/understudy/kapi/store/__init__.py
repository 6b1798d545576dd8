"""Revisioned objects and their event logs: persistent trees, views' layers, forks.

Synchronous and pure: no await, no clock, no I/O. One monotonic counter serves every view.
"""
