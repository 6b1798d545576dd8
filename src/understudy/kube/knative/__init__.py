"""Knative Serving's vocabulary, pure: keys, limits, defaults, and what its webhook refuses.

Shared by the app client, which checks before it sends, and by the embedded cluster, which answers
as the webhook would. The rules are Knative's (serving 1.23); the recorded answers in
`tests/conformance/knative` are the measure.
"""
