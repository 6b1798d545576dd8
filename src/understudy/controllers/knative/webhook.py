"""Knative's admission webhook as a plugin of the chain: it fills in, and it refuses.

Answers are those of the real webhook to the letter (`kube.knative`), wrapped as an API server wraps
the refusal of a webhook.
"""

from __future__ import annotations

from understudy.controllers.knative.settings import KnativeSettings
from understudy.kapi.admission import chain as admission
from understudy.kapi.views import view as views
from understudy.kube import objects, quantities, statuses
from understudy.kube.knative import defaults, keys, validation

_KINDS = frozenset({"Service", "Configuration", "Revision", "Route", "DomainMapping"})
_MUTATING = "webhook.serving.knative.dev"
_VALIDATING = "validation.webhook.serving.knative.dev"


class Webhook:
    """Defaults and validation of the Serving kinds."""

    name = "KnativeServing"

    def __init__(self, config: KnativeSettings) -> None:
        self._config = config

    def handles(self, attributes: admission.Attributes) -> bool:
        """Say whether a write is about a Serving kind."""
        resource = attributes.resource
        return (
            resource.group == keys.SERVING
            and resource.kind in _KINDS
            and attributes.operation in ("CREATE", "UPDATE")
            and attributes.obj is not None
        )

    def mutate(self, attributes: admission.Attributes) -> None:
        """Fill in what Knative fills in, and note who asked."""
        obj, old = attributes.obj, attributes.old
        assert obj is not None, "handles() has seen to it"
        if attributes.subresource or objects.metadata(obj).get("deletionTimestamp"):
            return
        _check_quantities(obj)
        allowed = self._config.limits
        match attributes.resource.kind:
            case "Service":
                defaults.default_service(obj, allowed, old)
                _note_user(attributes)
            case "Configuration":
                defaults.default_configuration(obj, allowed, old)
                _note_user_of_loner(attributes)
            case "Revision":
                defaults.default_revision_spec(
                    obj.setdefault("spec", {}), allowed, creating=old is None
                )
            case "Route":
                defaults.default_route(obj)
                _note_user_of_loner(attributes)
            case _:
                _default_reference(obj, attributes.namespace)
                _note_user(attributes)

    def validate(self, attributes: admission.Attributes) -> None:
        """Refuse what Knative refuses."""
        obj = attributes.obj
        assert obj is not None, "handles() has seen to it"
        if attributes.subresource or objects.metadata(obj).get("deletionTimestamp"):
            return
        if attributes.resource.kind in ("Service", "Configuration"):
            warning = validation.insecure_defaults(obj)
            if warning and warning not in attributes.warnings:
                attributes.warnings.append(warning)
        problems = validation.validate(obj, attributes.old, self._config.limits)
        if problems:
            error = statuses.BadRequestError(
                f'admission webhook "{_VALIDATING}" denied the request: validation failed:'
                f" {problems}"
            )
            error.warnings = tuple(attributes.warnings)
            raise error


def _default_reference(mapping: objects.Object, namespace: str) -> None:
    """Write the reference out as Go does, which has no "absent" for it."""
    spec = mapping.setdefault("spec", {})
    if not isinstance(spec, dict):
        return
    reference = spec.setdefault("ref", {"kind": "", "name": ""})
    if isinstance(reference, dict) and not reference.get("namespace"):
        reference["namespace"] = namespace


def install(view: views.View, config: KnativeSettings) -> None:
    """Put the webhook into the chain of a view's server; a second time replaces the first."""
    chain = view.shared.chain
    others = [plugin for plugin in chain.plugins if plugin.name != Webhook.name]
    view.shared.chain = admission.Chain([*others, Webhook(config)])


def _note_user(attributes: admission.Attributes) -> None:
    """Keep who created an object and who changed its spec last."""
    obj, old = attributes.obj, attributes.old
    assert obj is not None, "handles() has seen to it"
    user = attributes.user.username
    notes = obj["metadata"].get("annotations")
    if not isinstance(notes, dict):
        notes = {}
    if old is None:
        notes[keys.CREATOR] = notes[keys.LAST_MODIFIER] = user
    elif old.get("spec") != obj.get("spec"):
        notes[keys.LAST_MODIFIER] = user
    if notes:
        obj["metadata"]["annotations"] = notes


def _note_user_of_loner(attributes: admission.Attributes) -> None:
    """What belongs to a Service carries the Service's annotations instead."""
    if not objects.metadata(attributes.obj or {}).get("ownerReferences"):
        _note_user(attributes)


def _check_quantities(obj: objects.Object) -> None:
    """The webhook reads objects into Go's types before anything else: quantities must parse."""
    spec = objects.lookup(obj, ("spec", "template", "spec")) or obj.get("spec") or {}
    for container in spec.get("containers") or () if isinstance(spec, dict) else ():
        resources = container.get("resources") if isinstance(container, dict) else None
        for amounts in (resources or {}).values() if isinstance(resources, dict) else ():
            for value in amounts.values() if isinstance(amounts, dict) else ():
                try:
                    quantities.canonical(str(value))
                except ValueError as error:
                    raise statuses.BadRequestError(
                        f'admission webhook "{_MUTATING}" denied the request: mutation failed:'
                        f" cannot decode incoming new object: {error}"
                    ) from None
