"""Whatever a body holds, the answer is well formed, and a refusal has changed nothing."""

from __future__ import annotations

import json

import fuzzing
import hypothesis
import yaml
from hypothesis import strategies as st

SEEDS = fuzzing.seeds("POST", "PUT", "PATCH")
CREATES = fuzzing.seeds("POST")
UPDATES = fuzzing.seeds("PUT")
PATCHES = fuzzing.seeds("PATCH")
FORMS = (
    "application/json;as=Table;v=v1;g=meta.k8s.io",
    "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io",
    "application/yaml",
)


def use(world, sent, status, body):
    """Do with an accepted object what clients do: read it in every form, write it back, delete."""
    if status not in (200, 201) or sent.path.count("/") < 3:
        return
    stored = json.loads(body)
    name = (stored.get("metadata") or {}).get("name")
    collection = sent.path
    if sent.method != "POST":
        collection = sent.path.rsplit("/", 1)[0]
    for form in FORMS:
        world.ask("GET", collection, view=fuzzing.VIEW, headers={b"accept": form.encode()}.items())
    world.ask("GET", f"{collection}?watch=1&allowWatchBookmarks=1", view=fuzzing.VIEW)
    if not name or sent.method != "POST":
        return
    one = f"{collection}/{name}"
    read, shown = world.ask("GET", one, view=fuzzing.VIEW)
    if read == 200:
        world.ask("PUT", one, shown, view=fuzzing.VIEW)
        labelled = {"metadata": {"labels": {"a": "b"}}}
        world.ask("PATCH", one, labelled, "application/merge-patch+json", view=fuzzing.VIEW)
        applied = {key: stored.get(key) for key in ("apiVersion", "kind")}
        applied |= {"metadata": {"name": name, "annotations": {"a": "b"}}}
        query = "?fieldManager=m&force=1"
        apply = "application/apply-patch+yaml"
        world.ask("PATCH", one + query, applied, apply, view=fuzzing.VIEW)
        world.ask("DELETE", one, view=fuzzing.VIEW)


@fuzzing.bounded(400)
@hypothesis.given(sent=fuzzing.mutations(CREATES), strict=st.booleans())
def test_spoiled_objects_are_created_or_refused(world, sent, strict):
    world.trial()
    path = f"{sent.path}{'&' if '?' in sent.path else '?'}fieldValidation=Strict"
    path = path if strict else sent.path
    status, body = world.ask("POST", path, sent.body, view=fuzzing.VIEW)
    use(world, sent, status, body)


@fuzzing.bounded(150)
@hypothesis.given(sent=fuzzing.mutations(UPDATES))
def test_spoiled_objects_replace_or_are_refused(world, sent):
    world.trial()
    status, body = world.ask("PUT", sent.path, sent.body, view=fuzzing.VIEW)
    use(world, sent, status, body)


@fuzzing.bounded(300)
@hypothesis.given(sent=fuzzing.mutations(PATCHES))
def test_spoiled_patches_apply_or_are_refused(world, sent):
    world.trial()
    path = sent.path
    if "apply" in sent.content_type and "fieldManager" not in path:
        path += ("&" if "?" in path else "?") + "fieldManager=m&force=true"
    status, body = world.ask("PATCH", path, sent.body, sent.content_type, view=fuzzing.VIEW)
    use(world, sent, status, body)


@fuzzing.bounded(120)
@hypothesis.given(sent=fuzzing.mutations(SEEDS), data=st.data())
def test_yaml_in_any_style_is_read_or_refused(world, sent, data):
    world.trial()
    try:
        text = yaml.safe_dump(sent.body, default_flow_style=data.draw(st.booleans())).encode()
    except (yaml.YAMLError, UnicodeEncodeError):
        text = b'%YAML 1.1\n---\n"\\ud800": 1\n'
    kind = "application/yaml" if sent.method != "PATCH" else "application/apply-patch+yaml"
    path = sent.path if sent.method != "PATCH" else f"{sent.path}?fieldManager=m"
    world.ask(sent.method, path, text, kind, view=fuzzing.VIEW)


@st.composite
def broken(draw):
    """Draw bytes that once were a body: cut, repeated, with bytes put in, changed, taken out."""
    sent = SEEDS[draw(st.integers(0, len(SEEDS) - 1))]
    body = sent.encoded
    for _ in range(draw(st.integers(1, 4))):
        where = draw(st.integers(0, len(body)))
        odd = draw(
            st.one_of(
                st.binary(min_size=1, max_size=4),
                st.sampled_from(
                    [b"{", b"[", b"}", b'"', b"\\ud800", b"\\u0000", b"\xff\xfe", b"NaN", b"1e999",
                     b"-", b":", b",", b"&a ", b"*a", b"<<: ", b"!!python/object:os.system ",
                     b"\n---\n", b"\t", b"? ", b"|\n", b"%", b"9" * 5000]
                ),
            )
        )  # fmt: skip
        body = body[:where] + odd + body[where + draw(st.integers(0, 8)) :]
    return sent, body


TYPES = [
    "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "", "text/plain",
    "application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml",
    "application/strategic-merge-patch+json", "application/json; charset=\xff", ";;;", "a/b/c",
]  # fmt: skip


@fuzzing.bounded(400)
@hypothesis.given(made=broken(), content_type=st.sampled_from(TYPES))
def test_broken_bytes_are_refused_or_read(world, made, content_type):
    world.trial()
    sent, body = made
    if sent.method == "PATCH" and "patch" not in content_type:
        content_type = sent.content_type
    world.ask(sent.method, sent.path, body, content_type, view=fuzzing.VIEW)


@fuzzing.bounded(150)
@hypothesis.given(
    body=st.one_of(
        st.sampled_from(fuzzing.ODD).map(lambda odd: json.dumps(odd).encode()),
        st.binary(max_size=20),
        st.dictionaries(
            st.sampled_from([
                "kind", "apiVersion", "gracePeriodSeconds", "orphanDependents", "dryRun",
                "propagationPolicy", "preconditions", "ignoreStoreReadErrorWithClusterBreakingPotential",
            ]),
            st.one_of(
                st.sampled_from(["DeleteOptions", "v1", "All", ["All"], "Orphan", {"uid": 5}]),
                st.sampled_from(fuzzing.ODD),
            ),
        ).map(lambda options: json.dumps(options).encode()),
    ),
    sent=st.integers(0, len(CREATES) - 1).map(CREATES.__getitem__),
    content_type=st.sampled_from(TYPES),
)  # fmt: skip
def test_odd_options_of_a_deletion_delete_or_are_refused(world, body, sent, content_type):
    world.trial()
    name = str(((sent.body or {}).get("metadata") or {}).get("name"))
    world.ask("DELETE", f"{sent.path}/{name}", body, content_type, view=fuzzing.VIEW)
