"""Knative Serving in the embedded cluster: its resources, its webhook, its controllers.

The controllers follow the rules of the real ones (serving 1.23) and are measured by recorded
traces of what those wrote. What a cluster provides around them is given from outside: a registry
that resolves images, a gateway that reports on ingresses, and the load that scaling goes by.
"""
