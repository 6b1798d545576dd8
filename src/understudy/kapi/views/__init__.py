"""The verbs: one verb is one synchronous transaction on one view."""
