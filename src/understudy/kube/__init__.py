"""Kubernetes' vocabulary as pure functions and values.

Names, objects, selectors, quantities, statuses, patches, server-side apply, schemas, health,
ordering. Nothing here performs I/O, schedules, reads a clock or draws a random number, so every
function gives the same answer for the same arguments and may be called from anywhere.
"""
