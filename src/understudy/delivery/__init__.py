"""Deliver an application: revisions, tracker, plan, dispatch, collect, wait, roll back.

Knows a cluster only through `client.protocol.Client`; a rehearsal gets its stage from `assembly`.
"""
