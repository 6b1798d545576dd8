"""The hub: agents connect to it, callers ask it, and nobody needs a way into a cluster.

    sessions   one agent's place, over the connections it makes one after another
    tokens     who may be which agent, and which caller may do what
    servers    the HTTP server: `/v1/agents/NAME` for agents, `/v1/instances` for callers
    clients    the callers' end

Requests travel over a `bus.protocol.MessageBus`, which decides whether there is one hub or several.
"""
