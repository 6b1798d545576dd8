"""HorizontalPodAutoscalers: how many replicas a workload gets.

`autoscalers` reconciles, `metrics` proposes a number of replicas for a metric, `rates` says how
much of it may happen now, `usages` knows what pods use.
"""
