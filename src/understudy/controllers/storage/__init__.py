"""Claims and volumes: binding one to the other, keeping both while they are in use.

Volumes themselves are nobody's here; a runtime may provide some.
"""
