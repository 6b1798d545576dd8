"""What runs pods: simulated nodes and kubelets here, local processes beside them.

A runtime is a set of controllers: it watches pods and nodes and writes their status. It never
decides what should exist.
"""
