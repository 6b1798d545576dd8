"""Services: which pods stand behind one, as Endpoints and as EndpointSlices."""
