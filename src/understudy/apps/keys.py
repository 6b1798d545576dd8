"""Labels and annotations of an app's Knative Service.

Those of `flyte.org` are Flyte's own, so that both see the same apps; the others are ours.
"""

from __future__ import annotations

MANAGED = "flyte.org/app-managed"
PROJECT = "flyte.org/project"
DOMAIN = "flyte.org/domain"
APP_NAME = "flyte.org/app-name"
STOPPED = "flyte.org/app-stopped"

SPEC_SHA = "flyte.org/spec-sha"
APP_ID = "flyte.org/app-id"
APP_ORG = "flyte.org/app-org"
SPEC = "flyte.org/spec"

DEPLOYMENT_ID = "understudy.dev/deployment-id"
STARTED_AT = "understudy.dev/started-at"
STOPPED_AT = "understudy.dev/stopped-at"
UPDATED_AT = "understudy.dev/updated-at"
PARKED_TEMPLATE = "understudy.dev/parked-template"
VISIBILITY_BEFORE = "understudy.dev/visibility-before-stop"
URL_BEFORE = "understudy.dev/url-before-stop"
REASON = "understudy.dev/reason"
PARKED = "understudy.dev/parked"
PARKED_IMAGE = "parked.understudy.invalid/stopped:latest"

OWN_LABELS = (MANAGED, PROJECT, DOMAIN, APP_NAME, STOPPED)
OWN_ANNOTATIONS = (
    SPEC_SHA, APP_ID, APP_ORG, SPEC, DEPLOYMENT_ID, STARTED_AT, STOPPED_AT, UPDATED_AT,
    PARKED_TEMPLATE, VISIBILITY_BEFORE, URL_BEFORE, REASON,
)  # fmt: skip
