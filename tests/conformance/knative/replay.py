"""Replay a recorded scenario against the embedded cluster and say where the two differ.

The recording's stand-ins are played here too: the kubelet (by the image's name), the ingress
controller, the registry and the load. Time is simulated and follows the recording's.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from understudy.aio import clocks, ids
from understudy.controllers import clusters, registry, running
from understudy.controllers.knative import conditions, installing, settings, worlds
from understudy.controllers.runtime import settings as runtime
from understudy.controllers.workloads import pods
from understudy.kapi import views
from understudy.kapi.resources import strategies
from understudy.kapi.views import options
from understudy.kube import objects, patches, schemas, statuses
from understudy.kube.knative import limits

HERE = Path(__file__).parent
TRACES = HERE / "traces"
GROUPS = {"": "v1"}
CONTROLLERS = (
    "deployment-controller,replicaset-controller,garbage-collector-controller,"
    "namespace-controller,serviceaccount-controller"
)
COMPARED = (
    "KService", "Configuration", "Revision", "Route", "PodAutoscaler", "DomainMapping",
    "ServerlessService", "Ingress",
)  # fmt: skip
REFS = {
    "KService": "services.serving.knative.dev",
    "Configuration": "configurations.serving.knative.dev",
    "Revision": "revisions.serving.knative.dev",
    "Route": "routes.serving.knative.dev",
    "DomainMapping": "domainmappings.serving.knative.dev",
    "PodAutoscaler": "podautoscalers.autoscaling.internal.knative.dev",
    "ServerlessService": "serverlessservices.networking.internal.knative.dev",
    "Ingress": "ingresses.networking.internal.knative.dev",
    "Image": "images.caching.internal.knative.dev",
    "Metric": "metrics.autoscaling.internal.knative.dev",
}
RECORDED_LIMITS = limits.Limits(allow_zero_initial_scale=True)
ADMIN = strategies.UserInfo(username="admin")
_TIMES = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|^T\d+$")
TOLD = ("KService", "Configuration", "Revision", "Route", "DomainMapping")
"""Kinds whose states are compared in their order, not only at the end of a step."""
TIMED = ("serving.knative.dev/routingStateModified",)


class Registry:
    """`localhost:5001` has `good*` and nothing else."""

    def digest(self, image):
        name, _, tag = image.removeprefix("localhost:5001/").partition(":")
        if name.startswith("good"):
            return f"localhost:5001/{name}@sha256:<digest>"
        raise LookupError(
            f"HEAD http://localhost:5001/v2/{name}/manifests/{tag}: unexpected status code 404 Not"
            " Found (HEAD responses have no body, use GET for details)"
        )


class Gateway:
    """Reports what the scenario says."""

    def __init__(self, silent):
        self.state = "" if silent else "ready"

    def report(self, ingress):
        hosts = {
            "public": "gw.ingress-system.svc.cluster.local",
            "private": "gw-internal.ingress-system.svc.cluster.local",
        }
        match self.state:
            case "ready":
                return worlds.IngressReport(**hosts)
            case "unknown":
                text = "Waiting for load balancer to be ready"
                return worlds.IngressReport(
                    status="Unknown", reason="Uninitialized", message=text, **hosts
                )
            case "fail":
                return worlds.IngressReport(
                    status="False",
                    reason="ReconcileIngressFailed",
                    message="load balancer rejected the rules",
                    **hosts,
                )
        return worlds.IngressReport(status="")


class Load:
    """A little on every Revision that is routed to, unless the scenario says otherwise.

    What stops is still seen for the six seconds of the stable window.
    """

    WINDOW_S = 6.0

    def __init__(self, clock, runs):
        self.clock = clock
        self.runs = runs
        self.state = "some"
        self._seen = {}
        self._samples = []

    def on_need(self, tell):
        pass

    def demand(self, namespace, revision, ask):
        amount = {"some": 1.0, "none": 0.0, "two": 2.0, "high": 150.0 * self.runs(revision)}
        amount = amount[self.state]
        now = self.clock.monotonic()
        if self.state == "some" and revision not in self._seen and not self.runs(revision):
            return None  # only pods report it
        if self.state == "high":
            return self._averaged(now, amount)
        if ask.routed and amount:
            self._seen[revision] = (now, amount)
            return worlds.Demand(stable=amount, panic=amount)
        last, before = self._seen.get(revision, (-1e9, 0.0))
        left = max(0.0, 1 - (now - last) / self.WINDOW_S)
        return worlds.Demand(stable=before * left, panic=0.0)

    def _averaged(self, now, amount):
        self._samples = [one for one in self._samples if one[0] > now - self.WINDOW_S]
        self._samples.append((now, amount))
        samples = max(len(self._samples), 3)  # the collector looks every two seconds
        return worlds.Demand(
            stable=sum(value for _, value in self._samples) / samples, panic=amount / 3
        )


class Kubelet:
    """Pods are ready after 0.3 s, or fail as the image's name says."""

    name = "test-kubelet"
    watched = ("pods",)

    def __init__(self, shared):
        self.cluster = clusters.Cluster(shared, "kubelet", clusters.KUBELET)

    def observe(self, change, queue):
        if change.type == "DELETED":
            return
        pod = change.object
        if pods.is_terminating(pod):
            queue.add_after(("gone", *change.key), 0.1)
        elif change.type == "ADDED":
            queue.add_after(("start", *change.key), 0.3)

    def reconcile(self, key):
        stage, namespace, name = key
        pod = self.cluster.find("pods", namespace, name)
        if pod is None:
            return None
        if stage == "gone":
            self.cluster.delete("pods", namespace, name, grace_period_s=0)
            return None
        if pods.is_terminating(pod):
            return None
        image = pod["spec"]["containers"][0]["image"].split("/")[-1].split(":")[0]
        kind = next(
            (one for one in ("crash", "notready", "slow", "pullfail", "unschedulable")
             if image.endswith(one)),
            "good",
        )  # fmt: skip
        if kind == "slow":
            age = self.cluster.clock.monotonic() - getattr(self, f"_{name}", 1e9)
            if not hasattr(self, f"_{name}"):
                setattr(self, f"_{name}", self.cluster.clock.monotonic())
                self._report(pod, False, {"running": {"startedAt": self.cluster.stamp()}})
                return 6.0
            if age < 5.9:
                return 6.0 - age
            kind = "good"
        running = {"running": {"startedAt": self.cluster.stamp()}}
        match kind:
            case "good":
                self._report(pod, True, running)
            case "notready":
                self._report(pod, False, running)
            case "pullfail":
                waiting = {
                    "reason": "ImagePullBackOff",
                    "message": f'Back-off pulling image "{pod["spec"]["containers"][0]["image"]}"',
                }
                self._report(pod, False, {"waiting": waiting})
            case "crash":
                ended = {"exitCode": 3, "reason": "Error", "message": "boom: cannot start"}
                name = pod["spec"]["containers"][0]["name"]
                waiting = {
                    "reason": "CrashLoopBackOff",
                    "message": f"back-off 10s restarting failed container={name}",
                }
                self._report(pod, False, {"waiting": waiting}, last={"terminated": ended})
            case "unschedulable":
                pod["status"] = {
                    "phase": "Pending",
                    "conditions": [
                        {
                            "type": "PodScheduled",
                            "status": "False",
                            "reason": "Unschedulable",
                            "message": "0/1 nodes are available: 1 Insufficient cpu.",
                        }
                    ],
                }
                self.cluster.update_status("pods", pod)
        return None

    def _report(self, pod, ready, state, last=None):
        held = "True" if ready else "False"
        phase = "Running" if "waiting" not in state or last else "Pending"
        stamp = self.cluster.stamp()
        containers = []
        for container in pod["spec"]["containers"]:
            queue = container["name"] == "queue-proxy"
            containers.append(
                {
                    "name": container["name"],
                    "image": container["image"],
                    "imageID": "",
                    "ready": ready,
                    "restartCount": 1 if last and not queue else 0,
                    "state": {"running": {"startedAt": stamp}} if queue else state,
                    "lastState": (last or {}) if not queue else {},
                }
            )
        pod["status"] = {
            "phase": phase,
            "podIP": "10.0.0.9",
            "podIPs": [{"ip": "10.0.0.9"}],
            "conditions": [
                {"type": kind, "status": value, "lastTransitionTime": stamp}
                for kind, value in (
                    ("Initialized", "True"),
                    ("Ready", held),
                    ("ContainersReady", held),
                    ("PodScheduled", "True"),
                )
            ],
            "containerStatuses": containers,
        }
        self.cluster.update_status("pods", pod)


class Scenario:
    """One recorded scenario and the embedded cluster it is played on."""

    def __init__(self, path):
        self.trace = json.loads(path.read_text())
        self.clock = clocks.ManualClock()
        self.view = views.new_view(clock=self.clock, ids=ids.SeededIds(7))
        extra = {}
        if "gc" in path.stem:
            extra = {
                "retain_since_create_s": 1.0,
                "retain_since_active_s": 1.0,
                "min_non_active_revisions": 1,
                "max_non_active_revisions": 2,
            }
        self.config = settings.KnativeSettings(
            domain="example.com",
            ingress_class="dummy.ingress.networking.knative.dev",
            stable_window_s=6.0,
            scale_to_zero_grace_s=6.0,
            limits=RECORDED_LIMITS,
            **extra,
        )
        self.gateway = Gateway(silent="ingress-states" in path.stem)
        self.load = Load(self.clock, self._runs)
        world = worlds.World(registry=Registry(), gateway=self.gateway, load=self.load)
        installing.install(self.view, self.config)
        self.view.create("namespaces", {"metadata": {"name": "demo"}})
        self.reactor = registry.assemble(
            self.view,
            CONTROLLERS,
            runtime.Runtime(kind="none"),
            self.clock,
            lambda write: None,
            more=[Kubelet, *installing.controllers(self.config, world)],
        )
        self.writes = []
        self.view.subscribe(None, self._note)
        self.reactor.attach()
        self.reactor.load_present()
        running.advance(self.reactor, self.clock, 1.0)
        self.resources = {kind: self.view.resolve(ref) for kind, ref in REFS.items()}

    def _runs(self, revision):
        return sum(
            pods.is_ready(pod) for pod in self.view.each("pods", "demo")
            if objects.labels_of(pod).get("serving.knative.dev/revision") == revision
        )  # fmt: skip

    def _note(self, event):
        for kind in TOLD:
            if str(event.storage) == REFS[kind] and event.type != "DELETED":
                obj = event.entry.object(self.resources[kind])
                self.writes.append((kind, event.entry.name, obj))

    def play(self):
        """Yield for each step: its record, our answer, our objects at its end."""
        steps = self.trace["steps"]
        start = self.clock.monotonic()
        for index, step in enumerate(steps):
            self.writes.clear()
            answer = self._do(step)
            times = [write["t"] for write in step["writes"]]
            following = [write["t"] for later in steps[index + 1 :] for write in later["writes"]]
            end = following[0] - 0.1 if following else max(times, default=0.0) + 1.5
            left = start + end - self.clock.monotonic()
            running.advance(self.reactor, self.clock, max(left, 1.0))
            yield step, answer, self.objects(), list(self.writes)

    def _do(self, step):
        if "event" in step:
            self._happen(step["event"])
            return None
        request = step.get("request")
        if not request:
            return None
        parts = request["path"].split("/")
        where = parts.index("namespaces")
        plural, name = parts[where + 2], (parts[where + 3] if len(parts) > where + 3 else "")
        group = parts[2] if parts[1] == "apis" else ""
        ref = f"{plural}.{group}" if group else plural
        namespace = parts[where + 1]
        how = options.WriteOptions(user=ADMIN, user_agent="kubectl")
        try:
            match request["method"]:
                case "POST":
                    return self.view.create(
                        ref, self._body(request), namespace, options=how
                    ).object()
                case "PATCH":
                    return self.view.patch(
                        ref, name, self._body(request), namespace,
                        patch_type=options.MERGE_PATCH, options=how,
                    ).object()  # fmt: skip
                case "PUT":
                    return self._put(ref, namespace, name, request, how)
                case "DELETE":
                    policy = (request.get("body") or {}).get("propagationPolicy", "")
                    self.view.delete(
                        ref, name, namespace,
                        options=options.DeleteOptions(propagation_policy=policy, user=ADMIN),
                    )  # fmt: skip
                    return {"code": 200}
        except statuses.ApiError as error:
            return error
        raise AssertionError(request)

    def _body(self, request):
        return objects.copy(request["body"])

    def _put(self, ref, namespace, name, request, how):
        body = self._body(request)
        present = self.view.get(ref, name, namespace)
        meta = body["metadata"]
        meta["uid"] = present["metadata"]["uid"]
        meta["creationTimestamp"] = present["metadata"]["creationTimestamp"]
        # The recording's symbol: whichever version the first PUT was sent with is stale later.
        self._stale = getattr(self, "_stale", present["metadata"]["resourceVersion"])
        meta["resourceVersion"] = self._stale
        return self.view.update(ref, body, namespace, name=name, options=how).object()

    def _happen(self, event):
        if event.startswith("ingress controller reports "):
            self.gateway.state = event.rsplit(" ", 1)[1]
            for obj in list(self.view.each(REFS["Ingress"], "demo")):
                self.view.patch(
                    REFS["Ingress"], obj["metadata"]["name"],
                    {"metadata": {"annotations": {"poke": self.gateway.state}}}, "demo",
                    patch_type=options.MERGE_PATCH,
                )  # fmt: skip
        elif event == "no requests":
            self.load.state = "none"
        elif event.startswith("2 concurrent"):
            self.load.state = "two"
        elif event.startswith("every pod reports 150"):
            self.load.state = "high"

    def rest(self, seconds):
        """Let time pass, without more load than a little."""
        if self.load.state == "high":
            self.load.state = "some"
        running.advance(self.reactor, self.clock, seconds)

    def objects(self):
        found = {}
        for kind in MADE:
            for obj in self.view.each(REFS[kind], "demo"):
                found[f"{kind}/{objects.name_of(obj)}"] = obj
        return found


def symbols(view_objects):
    """Return what turns uids into the recording's symbols."""
    table = {}
    for key, obj in view_objects.items():
        table[objects.uid_of(obj)] = f"uid:{key}"
    return table


def normal(value, table):
    """Replace uids by symbols and take out times."""
    if isinstance(value, dict):
        if value.get("type") == "ContainerHealthy" and value.get("reason") == "Deploying":
            value = {key: item for key, item in value.items() if key != "reason"}  # a known race
        return {
            key: ("<time>" if key in TIMED else normal(item, table))
            for key, item in value.items()
            if key != "lastTransitionTime"
        }
    if isinstance(value, list):
        return [normal(item, table) for item in value]
    if isinstance(value, str):
        value = re.sub(r"sha256:[0-9a-f]{64}", "sha256:<digest>", value)
        value = re.sub(r"-deployment-[0-9a-f]{6,10}", "-deployment-<hash>", value)
        return table.get(value, value)
    return value


def summary(obj):
    """Return the parts of an object that a recording's `state` has."""
    meta = obj["metadata"]
    return {
        "generation": meta.get("generation"),
        "labels": meta.get("labels") or {},
        "annotations": meta.get("annotations") or {},
        "status": obj.get("status") or {},
        "traffic": obj.get("spec", {}).get("traffic") or [],
        "deleting": bool(meta.get("deletionTimestamp")),
    }


def follow(known, step):
    """Bring {key: object} as recorded to the end of a step."""
    for write in step["writes"]:
        key = f"{write.get('kind')}/{write.get('name')}"
        match write["w"]:
            case "create":
                known[key] = write["object"]
            case "change" if key in known:
                known[key] = patches.apply(
                    options.MERGE_PATCH, known[key], write["patch"], schemas.ANY
                )
            case "delete":
                known.pop(key, None)


MADE = ("KService", "Configuration", "Revision", "Route", "PodAutoscaler", "ServerlessService",
        "Ingress", "DomainMapping", "Image", "Metric")  # fmt: skip


def fading(view_objects):
    """Return the names of the Revisions that no Route refers to any more.

    When they reach zero scale differed between two recordings; that they do is tested apart.
    """
    return {
        objects.name_of(obj) for key, obj in view_objects.items() if key.startswith("Revision/")
        and objects.labels_of(obj).get("serving.knative.dev/routingState") == "reserve"
    }  # fmt: skip


def without_scale(kind, summary):
    """Return a summary without what follows from how many pods there are at this moment."""
    summary = objects.copy(summary)
    status = summary.get("status") or {}
    for field in ("actualScale", "desiredScale", "actualReplicas", "desiredReplicas"):
        status.pop(field, None)
    moving = ("Active", "SKSReady", "Ready") if kind == "PodAutoscaler" else ("Active",)
    if "conditions" in status:
        status["conditions"] = [c for c in status["conditions"] if c["type"] not in moving]
    if kind == "ServerlessService":
        for field in ("ready", "mode", "numActivators"):
            summary.pop(field, None)
    return summary


def without_counts(summary):
    """How often an autoscaler was found reachable or not on the way is a race."""
    status = dict(summary.get("status") or {})
    seen = status.pop("observedGeneration", None) == summary.get("generation")
    return {**summary, "generation": seen, "status": status}


def made_differences(known, view_objects):
    """Compare labels, annotations, owners and spec of what was recorded with ours."""
    table = symbols(view_objects)
    old = fading(view_objects)
    out = {}
    for key, recorded in known.items():
        if key.split("/")[0] not in MADE or key not in view_objects:
            continue
        ours = view_objects[key]
        for field in ("labels", "annotations", "ownerReferences", "finalizers"):
            left = normal(recorded["metadata"].get(field), table) or None
            right = normal(ours["metadata"].get(field), table) or None
            if left != right:
                out[f"{key} {field}"] = (left, right)
        left, right = normal(recorded.get("spec"), table), normal(ours.get("spec"), table)
        if key.removeprefix("ServerlessService/") in old:
            left, right = (without_scale("ServerlessService", one) for one in (left, right))
        if left != right:
            out[f"{key} spec"] = (left, right)
    return out


def differences(step, view_objects):
    """Return {where: (recorded, ours)} for everything compared at the end of a step."""
    table = symbols(view_objects)
    old = fading(view_objects)
    out = {}
    recorded = {key: one for key, one in step["state"].items() if key.split("/")[0] in COMPARED}
    view_objects = {key: obj for key, obj in view_objects.items() if key.split("/")[0] in COMPARED}
    for key in sorted({*recorded, *view_objects}):
        kind = key.split("/")[0]
        if key not in recorded or key not in view_objects:
            out[key] = (key in recorded, key in view_objects)
            continue
        theirs, ours = normal(recorded[key], table), normal(summary(view_objects[key]), table)
        if kind == "Ingress":
            ready = conditions.ready_status(view_objects[key])
            ours = {"ready": [ready] if ready else []}
        elif kind == "ServerlessService":
            ours = {
                "ready": [conditions.ready_status(view_objects[key])],
                "mode": view_objects[key]["spec"]["mode"],
            }
        if kind == "PodAutoscaler":
            theirs, ours = without_counts(theirs), without_counts(ours)
        if objects.name_of(view_objects[key]) in old and kind != "KService":
            theirs, ours = without_scale(kind, theirs), without_scale(kind, ours)
        for field in sorted({*theirs, *ours}):
            left, right = theirs.get(field), ours.get(field)
            if (not left and not right) or field in ("labels", "annotations"):
                continue  # compared with what was written
            if isinstance(left, dict) and isinstance(right, dict) and field == "status":
                for part in sorted({*left, *right}):
                    if left.get(part) != right.get(part):
                        out[f"{key} status.{part}"] = (left.get(part), right.get(part))
            elif left != right:
                out[f"{key} {field}"] = (left, right)
    return out


def condition_table(status):
    """Return an object's conditions as one line: type=status(reason)."""
    return " ".join(
        f"{one['type']}={one['status']}" + (f"({one['reason']})" if one.get("reason") else "")
        for one in (status or {}).get("conditions") or ()
    ).replace("ContainerHealthy=Unknown(Deploying)", "ContainerHealthy=Unknown")


def recorded_tables(step, kind, name):
    """Return the condition tables an object went through in a step, without repetitions."""
    out = []
    for write in step["writes"]:
        if write.get("kind") == kind and write["name"] == name and write["w"] == "change":
            table = condition_table(write["patch"].get("status"))
            if table and (not out or out[-1] != table):
                out.append(table)
    return out


def our_tables(writes, kind, name, before):
    """The same of ours; `before` is the table at the end of the step before."""
    out = [before]
    for one, other, obj in writes:
        if one == kind and other == name:
            table = condition_table(obj.get("status"))
            if table and out[-1] != table:
                out.append(table)
    return out[1:]


def _is_between(table):
    """Of Configuration and Route, one has been seen and the other has not yet."""
    return "(OutOfDate)" in table and table.count("OutOfDate") < 3


def agree(one, other):
    """Say whether one sequence of tables passes through the other, in order.

    A controller may be too quick or too slow to write a state in between: which of two writes a
    third one sees first is a race. So is which of two conditions moves first, hence the second
    look, at each condition alone.
    """
    one, other = ([t for t in tables if not _is_between(t)] for tables in (one, other))
    return _passes_through(one, other) or all(
        _passes_through(*(_alone(tables, kind) for tables in (one, other)))
        for kind in {word.split("=")[0] for table in (*one, *other) for word in table.split()}
    )


def _passes_through(one, other):
    shorter, longer = sorted((one, other), key=len)
    rest = iter(longer)
    return all(table in rest for table in shorter)


def _alone(tables, kind):
    out = []
    for table in tables:
        states = [word for word in table.split() if word.startswith(f"{kind}=")]
        if states and (not out or out[-1] != states[0]):
            out.append(states[0])
    return out
