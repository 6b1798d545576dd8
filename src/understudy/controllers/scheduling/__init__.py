"""The scheduler: which node a pod goes to, and the reason in Kubernetes' words if it fits on none.

The rules that decide are kube-scheduler's filters; among the nodes that pass, the emptiest one is
taken. Differs: no extenders, no profiles.
"""
