"""The gateway in front of apps: from a host name to a pod that is ready, held while there is none.

It carries out Knative's Ingresses as Kourier or Istio do beside a real Knative, plays activator
and queue proxy (requests wait for the first replica, `containerConcurrency` is kept), and measures
what the autoscaler goes by. It reads the view and never writes to it.

    tables     host names and pods, followed from commit to commit
    backends   the pods of one Revision: who takes the next request, who waits
    meters     how much is asked of a Revision
    proxying   one HTTP request; `sockets` one WebSocket
    gateways   the listening server, and what it tells the controllers
"""
