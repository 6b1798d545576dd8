"""YAML becomes JSON by the rules of Go's YAML 1.1 reader."""

import pytest

from understudy.kube import yamltext


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("Off", False),
        ("~", None),
        ("", None),
        ("0644", 420),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b101", 5),
        ("1_000", 1000),
        ("-3", -3),
        ("1.50", 1.5),
        (".5", 0.5),
        ("1e3", 1000),
        ("1.5e-3", 0.0015),
        ("2020-01-01", "2020-01-01"),
        ("2001-12-14t21:59:43.10-05:00", "2001-12-14t21:59:43.10-05:00"),
        ("1.2.3", "1.2.3"),
        ("0.1.0", "0.1.0"),
        ("12:30:45", "12:30:45"),
        ("'1'", "1"),
        ('"yes"', "yes"),
        ("!!str 12", "12"),
        ("08", 8),
    ],
)
def test_scalars_are_resolved_as_go_does(text, value):
    found, complaints = yamltext.load(f"a: {text}\n")
    assert (found, complaints) == ({"a": value}, [])


def test_keys_become_strings():
    assert yamltext.load("1: a\ntrue: b\nnull: c\n")[0] == {"1": "a", "true": "b", "null": "c"}


def test_aliases_and_merge_keys_are_resolved():
    text = "base: &b {x: 1, y: 2}\nuse:\n  <<: *b\n  y: 3\nagain: *b\n"
    assert yamltext.load(text)[0] == {
        "base": {"x": 1, "true": 2},
        "use": {"x": 1, "true": 3},
        "again": {"x": 1, "true": 2},
    }


def test_every_repeated_key_is_told_with_its_line():
    assert yamltext.load("a: 1\nb:\n  c: 1\n  c: 2\na: 2\n") == (
        {"a": 2, "b": {"c": 2}},
        [
            'yaml: unmarshal errors:\n  line 4: key "c" already set in map\n'
            '  line 5: key "a" already set in map'
        ],
    )


@pytest.mark.parametrize("text", ["a: [b\nc: d", "a: &x [*x]", "? [1]\n: 2", "a: *nope"])
def test_what_is_no_yaml_is_refused(text):
    with pytest.raises(yamltext.YamlError, match="yaml: "):
        yamltext.load(text)


def test_an_expansion_attack_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 8)]
    with pytest.raises(yamltext.YamlError, match="excessive aliasing"):
        yamltext.load("\n".join(lines))


def test_only_the_first_document_counts():
    assert yamltext.load("a: 1\n---\nb: 2\n")[0] == {"a": 1}
