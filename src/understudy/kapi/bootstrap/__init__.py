"""What every API server makes at its start, whatever controllers run: roles, the first service.

Face: `populating.populate(view)`. Facts of kube-apiserver's post-start hooks, as tables.
"""
