"""The components of an Application document, opened into manifests.

manifests      properties.manifests: objects as they are
kustomization  properties.path: its folder
helm           properties.chart: a chart's folder or packed file; .values and .valuesFiles as helm
               takes them, .release is the application's name unless given
app            properties.spec: a web app, as in its app.yaml; properties.project and .domain are
               `default` and `development` unless given. It becomes a Knative Service, and a
               DomainMapping for each further host, planned and delivered like anything else.

Paths are relative to the file of the document.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from understudy.apps import domains, errors as app_errors, records, settings, specs
from understudy.delivery import errors, generating, manifests
from understudy.kube import objects, records as codec
from understudy.kube.knative import limits

TYPES = ("app", "helm", "kustomization", "manifests")
PROJECT, DOMAIN = "default", "development"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unlimited(limits.Limits):
    """What a cluster allows it says itself, in the rehearsal."""

    max_revision_timeout_s: int = 3600

    def allows(self, feature: str) -> bool:
        return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Chart:
    """The properties of a `helm` component."""

    chart: str
    release: str = ""
    values: objects.Object = field(default_factory=dict)
    values_files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kustomization:
    """The properties of a `kustomization` component."""

    path: str


def opened(
    source: manifests.Source,
    position: int,
    component: objects.Json,
    release: generating.Release,
    complaints: list[str],
) -> list[manifests.Manifest]:
    """Return a component's manifests; what is wrong with it is added to the complaints.

    `release` is what charts of the application are rendered for.
    """
    place = f"{source}: spec.components[{position}]"
    match objects.lookup(component, ("type",), "manifests"):
        case "manifests":
            return _manifests(source, place, component, complaints)
        case "app":
            return _app(source, place, component, release.namespace, complaints)
        case "helm" | "kustomization":
            return _generated(source, place, component, release, complaints)
        case kind:
            complaints.append(f"{place}.type is {kind!r}; use {' or '.join(map(repr, TYPES))}")
            return []


def _manifests(
    source: manifests.Source, place: str, component: objects.Json, complaints: list[str]
) -> list[manifests.Manifest]:
    listed = objects.lookup(component, ("properties", "manifests"))
    if not isinstance(listed, list):
        complaints.append(f"{place}.properties.manifests must be a list of objects")
        return []
    found: list[manifests.Manifest] = []
    for number, item in enumerate(listed):
        manifest = manifests.Manifest(item, source)
        wrong = manifests.complaints_about(manifest)
        complaints += (
            text.replace(f"{source}: ", f"{place}.properties.manifests[{number}]: ")
            for text in wrong
        )
        if not wrong:
            found.append(manifest)
    return found


def _generated(
    source: manifests.Source,
    place: str,
    component: objects.Json,
    release: generating.Release,
    complaints: list[str],
) -> list[manifests.Manifest]:
    properties = objects.lookup(component, ("properties",), {})
    folder = Path(source.file).parent
    try:
        if objects.lookup(component, ("type",)) == "kustomization":
            given, what = "path", "kustomization"
            path = folder / codec.from_json(_Kustomization, properties).path
            found = generating.is_kustomization(path)
        else:
            given, what = "chart", "Helm chart"
            chart = codec.from_json(_Chart, properties)
            path = folder / chart.chart
            found = path.exists() and generating.is_chart(path)
            release = dataclasses.replace(
                release,
                name=chart.release or release.name,
                values=chart.values,
                files=tuple(str(folder / name) for name in chart.values_files),
            )
        if found:
            return manifests.load([str(path)], read_stdin=bytes, release=release)
        complaints.append(f"{place}.properties.{given}: {path} is no {what}")
    except codec.RecordError as error:
        complaints.append(f"{place}.properties.{error}")
    except errors.ManifestError as error:
        complaints += (f"{place}: {complaint}" for complaint in error.complaints)
    return []


def _app(
    source: manifests.Source,
    place: str,
    component: objects.Json,
    namespace: str,
    complaints: list[str],
) -> list[manifests.Manifest]:
    properties = objects.lookup(component, ("properties",), {})
    given = dict(properties) if isinstance(properties, dict) else {}
    app_id: objects.Object = {
        "project": given.pop("project", PROJECT),
        "domain": given.pop("domain", DOMAIN),
        "name": objects.lookup(component, ("name",), ""),
    }
    try:
        app = codec.from_json(records.App, {"metadata": {"id": app_id}, **given})
        config = settings.AppSettings(namespace=namespace, limits=_Unlimited())
        rendered = specs.render(app, config)
    except codec.RecordError as error:
        complaints.append(f"{place}.properties: {error}")
        return []
    except app_errors.AppInvalidError as error:
        complaints += (f"{place}.properties.{field}: {text}" for field, text in error.problems)
        return []
    mappings = (domains.mapping(rendered.service, host) for host in rendered.domains)
    return [manifests.Manifest(obj, source) for obj in (rendered.service, *mappings)]
