"""Names follow from identity, byte for byte as Flyte's do."""

import pytest

from understudy.apps import names, records, settings


def app(name, project="proj", domain="dev"):
    return records.Identifier(project=project, domain=domain, name=name)


@pytest.mark.parametrize(
    ("project", "domain", "name", "expected"),
    [
        ("proj", "dev", "MyApp", "myapp-proj-dev"),
        (
            "proj",
            "dev",
            "this-is-a-very-long-app-name-that-exceeds-the-kubernetes-dns-label-limit",
            "this-is-a-very-long-app-name-that-exceeds-the-kubernet-3111c9c5",
        ),
        ("proj", "dev", "a" * 54, "a" * 54 + "-proj-dev"),
        (
            "flytesnacks-very-long-project",
            "development-env",
            "a" * 18,
            "aaaaaaaaaaaaaaaaaa-flytesnacks-very-long-project-devel-815f200f",
        ),
        ("proj", "dev", "under_score.dot", "under_score.dot-proj-dev"),
    ],
)
def test_the_service_name_is_the_one_flyte_gives(project, domain, name, expected):
    assert names.kservice_name(app(name, project, domain)) == expected


def test_a_name_over_the_limit_has_63_bytes_also_when_letters_have_several():
    long = names.kservice_name(app("ä" * 40))
    assert len(long.encode(errors="surrogateescape")) == 63


def test_letters_are_lowered_one_by_one_as_go_does():
    assert names.kservice_name(app("\u0130\u03a3")) == "i\u03c3-proj-dev"


def test_the_org_is_not_part_of_the_name():
    with_org = records.Identifier(org="acme", project="proj", domain="dev", name="web")
    assert names.kservice_name(with_org) == names.kservice_name(app("web"))


@pytest.mark.parametrize(
    ("config", "url"),
    [
        ({"base_domain": "Apps.Example.com"}, "https://web-proj-dev.apps.example.com"),
        ({"base_domain": "x.test", "scheme": "http"}, "http://web-proj-dev.x.test"),
        ({"base_domain": "x.test", "scheme": ""}, "https://web-proj-dev.x.test"),
        (
            {"base_domain": "x.test", "ingress_apps_port": 443},
            "https://web-proj-dev.x.test:443",
        ),
    ],
)
def test_the_public_url_follows_from_name_and_settings(config, url):
    ingress = names.public_ingress(app("web"), settings.AppSettings(**config))
    assert ingress == records.Ingress(public_url=url)


def test_without_a_base_domain_there_is_no_public_url():
    assert names.public_ingress(app("web"), settings.AppSettings()) is None


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{{ project }}-{{ domain }}", "http://{app_fqdn}-proj-dev.flyte.svc.cluster.local"),
        ("{{ domain }}", "http://{app_fqdn}-dev.flyte.svc.cluster.local"),
        ("{{project}}", "http://{app_fqdn}-{{project}}.flyte.svc.cluster.local"),
    ],
)
def test_the_endpoint_pattern_replaces_the_exact_tokens(template, expected):
    config = settings.AppSettings(namespace="flyte", namespaced_name_suffix_template=template)
    assert names.endpoint_pattern(app("web", "Proj", "Dev"), config) == expected


@pytest.mark.parametrize(
    ("identity", "field"),
    [
        (app(""), "metadata.id.name"),
        (app("web", project=""), "metadata.id.project"),
        (app("web", domain="a b"), "metadata.id.domain"),
        (app("-web"), "metadata.id.name"),
        (app("we_b"), "metadata.id.name"),
        (app("1web"), "metadata.id"),
        (app("web", project="p" * 64), "metadata.id.project"),
    ],
)
def test_an_identity_no_cluster_would_take_is_complained_about(identity, field):
    assert [path for path, _ in names.complaints(identity)] == [field]


def test_a_good_identity_gets_no_complaint():
    assert names.complaints(app("MyApp", "shop.web", "dev_1")) == [
        (
            "metadata.id",
            "the Knative Service would be named 'myapp-shop.web-dev_1': " + _dns1035(),
        )
    ]
    assert names.complaints(app("MyApp", "shop", "dev")) == []


def _dns1035():
    return (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an"
        " alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or"
        " 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
    )
