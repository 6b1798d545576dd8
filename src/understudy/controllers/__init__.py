"""What makes an embedded cluster live: reconcile functions over a view, and their reactor.

A controller is synchronous and deterministic: it reads and writes one view and returns. The reactor
decides when it runs, live or to quiescence.
"""
