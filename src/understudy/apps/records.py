"""Apps as values: identity, spec, status, replicas, and what a watch delivers.

The fields are those of Flyte's `flyteidl2.app` messages, so that what one system writes the other
can read; fields of our own come last in each record and say so. JSON and YAML through
`understudy.kube.records`: `records.from_json(App, yaml.safe_load(text))`.
"""

from __future__ import annotations

import datetime as dt
import enum
from dataclasses import dataclass, field

from understudy.kube import objects


class DeploymentStatus(enum.StrEnum):
    """Where an app stands.

    STARTED, SCALING_UP and SCALING_DOWN are read for the sake of old data and never written:
    scaling is a `Substate` of ACTIVE.
    """

    UNSPECIFIED = "UNSPECIFIED"
    UNASSIGNED = "UNASSIGNED"
    ASSIGNED = "ASSIGNED"
    PENDING = "PENDING"
    STOPPED = "STOPPED"
    STARTED = "STARTED"
    FAILED = "FAILED"
    ACTIVE = "ACTIVE"
    SCALING_UP = "SCALING_UP"
    SCALING_DOWN = "SCALING_DOWN"
    DEPLOYING = "DEPLOYING"


class Substate(enum.StrEnum):
    """Why an app stands where it stands.

    PULLING_IMAGE and INITIALIZING belong to DEPLOYING, the errors to FAILED, RUNNING and the
    scaling states to ACTIVE.
    """

    UNSPECIFIED = "UNSPECIFIED"
    PULLING_IMAGE = "PULLING_IMAGE"
    INITIALIZING = "INITIALIZING"
    WEBHOOK_ERROR = "WEBHOOK_ERROR"
    IMAGE_PULL_ERROR = "IMAGE_PULL_ERROR"
    SECRET_MOUNT_ERROR = "SECRET_MOUNT_ERROR"  # noqa: S105 (a state, not a secret)
    CRASH_LOOP = "CRASH_LOOP"
    OOM_KILLED = "OOM_KILLED"
    RUNNING = "RUNNING"
    SCALED_TO_ZERO = "SCALED_TO_ZERO"
    SCALING_FROM_ZERO = "SCALING_FROM_ZERO"
    SCALING_UP = "SCALING_UP"
    SCALING_DOWN = "SCALING_DOWN"


class DesiredState(enum.StrEnum):
    """What the spec asks for; UNSPECIFIED and STARTED mean ACTIVE."""

    UNSPECIFIED = "UNSPECIFIED"
    STOPPED = "STOPPED"
    STARTED = "STARTED"
    ACTIVE = "ACTIVE"


class ResourceName(enum.StrEnum):
    """Resources a container may ask for."""

    UNKNOWN = "UNKNOWN"
    CPU = "CPU"
    GPU = "GPU"
    MEMORY = "MEMORY"
    STORAGE = "STORAGE"
    EPHEMERAL_STORAGE = "EPHEMERAL_STORAGE"


class MountRequirement(enum.StrEnum):
    """How a secret reaches the container."""

    ANY = "ANY"
    ENV_VAR = "ENV_VAR"
    FILE = "FILE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """Who an app is. Two apps are the same when project, domain and name are, and the org.

    Attributes:
        org: Owner of the projects; may be empty, and then means `flyte`.
        project: At least one character.
        domain: Stage or tenant within the project, at least one character.
        name: 1 to 63 letters, digits and hyphens (Flyte's own clients stop at 30); starts and ends
            with a letter or digit.
    """

    org: str = ""
    project: str
    domain: str
    name: str

    def __str__(self) -> str:
        """`project/domain/name`, as in the annotation `flyte.org/app-id`."""
        return f"{self.project}/{self.domain}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceCode:
    """Where the code comes from."""

    link: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Meta:
    """Identity and what is known beside it; `revision` counts the accepted specs."""

    id: Identifier
    revision: int = 0
    labels: dict[str, str] = field(default_factory=dict)
    code_bundle_uri: str = ""
    source_code: SourceCode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvVar:
    """One environment variable."""

    key: str
    value: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerPort:
    """The port the app listens on; `name` is empty, `http1` or `h2c`."""

    container_port: int
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceEntry:
    """An amount of one resource, in Kubernetes' quantity notation (`500m`, `1Gi`)."""

    name: ResourceName
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What a container asks for, and its bounds."""

    requests: tuple[ResourceEntry, ...] = ()
    limits: tuple[ResourceEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A payload of one container.

    Attributes:
        working_dir: Ours: where the command starts; the image's own directory when empty.
    """

    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    resources: Resources | None = None
    env: tuple[EnvVar, ...] = ()
    ports: tuple[ContainerPort, ...] = ()
    working_dir: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class K8sObjectMetadata:
    """Labels and annotations for the pods."""

    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class K8sPod:
    """A payload in Kubernetes' own words: a whole PodSpec.

    Attributes:
        primary_container_name: The container that gets the app's environment; the first when empty.
    """

    metadata: K8sObjectMetadata | None = None
    pod_spec: objects.Object | None = None
    primary_container_name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replicas:
    """Bounds of scaling; `max` 0 is without bound, `min` 0 allows scaling to zero."""

    min: int = 0
    max: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRate:
    """Scale so that each replica gets this many requests per second."""

    target_value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Concurrency:
    """Scale so that each replica has this many requests at a time."""

    target_value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingMetric:
    """What scaling goes by: exactly one of the two."""

    request_rate: RequestRate | None = None
    concurrency: Concurrency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AutoscalingConfig:
    """How replicas are added and taken away; `scaledown_period` is the window looked at."""

    replicas: Replicas | None = None
    scaledown_period: dt.timedelta | None = None
    scaling_metric: ScalingMetric | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressConfig:
    """Who may reach the app, and under which other names."""

    private: bool = False
    subdomain: str = ""
    cname: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret that a webhook of the cluster puts into the pod."""

    group: str = ""
    group_version: str = ""
    key: str = ""
    mount_requirement: MountRequirement = MountRequirement.ANY
    env_var: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """As whom the app runs."""

    iam_role: str = ""
    k8s_service_account: str = ""
    execution_identity: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityContext:
    """Account and secrets."""

    run_as: Identity | None = None
    secrets: tuple[Secret, ...] = ()
    allow_anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuAccelerator:
    """A device class, e.g. `nvidia-tesla-t4`; `partition_size` is for partitioned devices."""

    device: str = ""
    partition_size: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMemory:
    """Memory mounted as a directory (`/dev/shm` when `mount_path` is empty)."""

    mount_path: str = ""
    mount_name: str = ""
    size_limit: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtendedResources:
    """Resources beyond requests and limits."""

    gpu_accelerator: GpuAccelerator | None = None
    shared_memory: SharedMemory | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpec:
    """An image the app's build made."""

    tag: str = ""
    build_job_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How a catalogue shows the app; `short_description` has at most 100 characters."""

    type: str = ""
    name: str = ""
    short_description: str = ""
    icon_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A link shown beside the app, relative to its URL or not."""

    path: str
    title: str = ""
    is_relative: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A named input: exactly one of a text, another app, or an artifact."""

    name: str
    string_value: str | None = None
    app_id: Identifier | None = None
    artifact_id: objects.Object | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeoutConfig:
    """Longest time a request may take, 0 to 3600 s."""

    request_timeout: dt.timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What an app should be: exactly one of `container` and `pod`, and what goes with it."""

    container: Container | None = None
    pod: K8sPod | None = None
    autoscaling: AutoscalingConfig | None = None
    ingress: IngressConfig | None = None
    desired_state: DesiredState = DesiredState.UNSPECIFIED
    cluster_pool: str = ""
    images: tuple[ImageSpec, ...] = ()
    security_context: SecurityContext | None = None
    extended_resources: ExtendedResources | None = None
    runtime_metadata: objects.Object | None = None
    profile: Profile | None = None
    creator: objects.Object | None = None
    inputs: tuple[Input, ...] = ()
    links: tuple[Link, ...] = ()
    timeouts: TimeoutConfig | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ingress:
    """Where an app is reached."""

    public_url: str = ""
    cname_url: str = ""
    vpc_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One statement about an app; the last of `Status.conditions` is the verdict over all.

    Attributes:
        revision: Generation of the Knative Service this is about.
        actor: Who made the last change.
        deployment_id: Digest of everything that makes the app run as it does.
    """

    last_transition_time: dt.datetime | None = None
    deployment_status: DeploymentStatus = DeploymentStatus.UNSPECIFIED
    message: str = ""
    revision: int = 0
    actor: str = ""
    substate: Substate = Substate.UNSPECIFIED
    deployment_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class K8sMetadata:
    """Where the app lives in its cluster; `service` (ours) is the Knative Service's name."""

    namespace: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficTarget:
    """Ours: a share of the traffic, as Knative routes it now."""

    revision_name: str = ""
    percent: int = 0
    tag: str = ""
    latest_revision: bool = False
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What an app is, computed on each read.

    Attributes:
        desired_replicas: Ours: how many the autoscaler wants.
        latest_created_revision: Ours: name of the newest Revision.
        latest_ready_revision: Ours: name of the newest Revision that became ready.
        traffic: Ours: how requests are shared out.
    """

    assigned_cluster: str = ""
    current_replicas: int = 0
    ingress: Ingress | None = None
    created_at: dt.datetime | None = None
    last_updated_at: dt.datetime | None = None
    conditions: tuple[Condition, ...] = ()
    lease_expiration: dt.datetime | None = None
    k8s_metadata: K8sMetadata | None = None
    materialized_inputs: objects.Object | None = None
    last_started_at: dt.datetime | None = None
    last_assigned_cluster: str = ""
    desired_replicas: int = 0
    latest_created_revision: str = ""
    latest_ready_revision: str = ""
    traffic: tuple[TrafficTarget, ...] = ()

    @property
    def verdict(self) -> Condition:
        """The condition that sums up the others; an unspecified one where there is none."""
        return self.conditions[-1] if self.conditions else Condition()

    @property
    def phase(self) -> DeploymentStatus:
        """Where the app stands."""
        return self.verdict.deployment_status


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """One app."""

    metadata: Meta
    spec: Spec | None = None
    status: Status | None = None

    @property
    def id(self) -> Identifier:
        """Who it is."""
        return self.metadata.id

    @property
    def phase(self) -> DeploymentStatus:
        """Where it stands; UNSPECIFIED without a status."""
        return self.status.phase if self.status else DeploymentStatus.UNSPECIFIED


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaIdentifier:
    """One replica of an app: the name of its pod."""

    app_id: Identifier
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaMeta:
    """Identity of a replica."""

    id: ReplicaIdentifier
    revision: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """State of a replica.

    Attributes:
        deployment_status: A `DeploymentStatus`, or `TERMINATING`.
        reason: Kubernetes' word for why, e.g. `ImagePullBackOff`; empty when all is well.
    """

    deployment_status: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replica:
    """One running (or failing) copy of an app.

    Attributes:
        knative_revision: Ours: the Revision it belongs to.
        latest_ready: Ours: that Revision is the latest ready one.
        traffic_percent: Ours: share of the traffic that its Revision gets.
        restarts: Ours: restarts of its most restarted container.
        node: Ours: where it runs.
        message: Ours: what Kubernetes says in full.
        created_at: Ours.
    """

    metadata: ReplicaMeta
    status: ReplicaStatus
    knative_revision: str = ""
    latest_ready: bool = False
    traffic_percent: int = 0
    restarts: int = 0
    node: str = ""
    message: str = ""
    created_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateEvent:
    """An app that the subscriber has not been told of."""

    app: App


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateEvent:
    """An app that changed since the subscriber was told of it last; `old_app` is what it knew."""

    updated_app: App
    old_app: App | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteEvent:
    """An app that is gone, as it was last seen."""

    app: App


class Marker(enum.StrEnum):
    """What a watch says about itself.

    SYNCED: what the subscriber has been told is the present state. RESYNC: it was so slow that
    states in between were merged; the present state of every app that has news follows, then
    SYNCED. Nothing it knows needs to be forgotten.
    """

    NONE = ""
    SYNCED = "SYNCED"
    RESYNC = "RESYNC"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchResponse:
    """One message of a watch: exactly one event, or (ours) a marker."""

    create_event: CreateEvent | None = None
    update_event: UpdateEvent | None = None
    delete_event: DeleteEvent | None = None
    marker: Marker = Marker.NONE

    @property
    def app(self) -> App | None:
        """The app the event is about, None for markers."""
        if self.create_event:
            return self.create_event.app
        if self.update_event:
            return self.update_event.updated_app
        return self.delete_event.app if self.delete_event else None
