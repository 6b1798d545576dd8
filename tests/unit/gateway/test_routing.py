"""Which app gets a request: hosts, tags, shares of traffic, further domains."""

from __future__ import annotations

from collections import Counter

from aiohttp import web
from gateway_world import rule, says


async def test_a_host_leads_to_its_app(world):
    await world.app(says("here"))
    answer = await world.get("app.test")
    assert (answer.status, answer.text) == (200, "here")
    assert (await world.get("APP.test.:8080")).text == "here"


async def test_an_unknown_host_is_told_so(world):
    await world.app(says("here"))
    answer = await world.get("other.test")
    assert answer.status == 404
    assert answer.text == (
        "no app has the host name 'other.test'; see: understudy app list --all\n"
    )


async def test_cluster_local_hosts_are_not_shown_outside(world):
    await world.app(says("here"))
    world.ingress("app", rule("app.test", {"app-1": 100}, visibility="ClusterLocal"))
    assert (await world.get("app.test")).status == 404


async def test_traffic_is_split_by_percent(world):
    await world.app(says("one"))
    world.revision("app-2")
    await world.pod("app-2", says("two"))
    world.ingress("app", rule("app.test", {"app-1": 80, "app-2": 20}))
    assert Counter([(await world.get()).text for _ in range(50)]) == {"one": 40, "two": 10}


async def test_a_tag_has_a_host_of_its_own(world):
    await world.app(says("one"))
    world.revision("app-2")
    await world.pod("app-2", says("two"))
    tagged = rule("next-app.test", {"app-2": 100})
    world.ingress("app", rule("app.test", {"app-1": 100}), tagged)
    assert (await world.get("next-app.test")).text == "two"
    assert (await world.get("app.test")).text == "one"


async def test_a_further_domain_leads_to_the_app_under_its_inner_name(world):
    async def shown(request):
        names = ("Host", "X-Forwarded-Host", "Knative-Serving-Revision")
        return web.json_response({name: request.headers.get(name) for name in names})

    await world.app(shown)
    inner = "app.default.svc.cluster.local"
    world.ingress("app", rule(inner, {"app-1": 100}, visibility="ClusterLocal"))
    world.ingress("shop.example", rule("shop.example", {"app": 100}, rewrite=inner))
    answer = await world.get("shop.example")
    assert answer.status == 200, answer.text
    assert answer.body == (
        b'{"Host": "app.default.svc.cluster.local", "X-Forwarded-Host": "shop.example", '
        b'"Knative-Serving-Revision": "app-1"}'
    )


async def test_of_two_claims_on_a_host_the_first_counts(world):
    await world.app(says("one"))
    world.revision("other-1")
    await world.pod("other-1", says("other"))
    world.ingress("other", rule("app.test", {"other-1": 100}))
    assert (await world.get()).text == "one"
    world.view.delete("ingresses.networking.internal.knative.dev", "app", "default")
    assert (await world.get()).text == "other"


async def test_a_revision_that_does_not_exist_serves_nothing(world):
    world.ingress("app", rule("app.test", {"app-1": 100}))
    answer = await world.get()
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "1"
    assert answer.text == "nothing serves the host name 'app.test' at present\n"


async def test_an_app_of_http2_is_refused_with_the_remedy(world):
    await world.app(
        says("x"), containers=[{"image": "x", "ports": [{"name": "h2c", "containerPort": 8080}]}]
    )
    answer = await world.get()
    assert answer.status == 502
    assert "speaks HTTP/2 only" in answer.text
