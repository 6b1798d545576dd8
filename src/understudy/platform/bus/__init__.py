"""How calls reach a cluster's agent: in one process, or between hub replicas.

    protocol      MessageBus, Subscription, Presence
    standalone    within one process
    nats          between processes, over NATS
      connections   the connection, which comes back by itself
      letters       what the buses send each other
      parcels       messages that are too large for one letter
      rolls         who is connected where
      settings      each setting, with its reason
    routing, seats  what buses have in common: callers' side, agents' side
    serving       requests are carried out, each at most once
    wire          calls as messages, whatever carries them

Knows nothing of clusters: what answers is any `platform.protocol.Platform`. Every queue in here has
a limit, every call a deadline, and every request a name by which it runs once.
"""
