"""Values that are compared as they were written."""

import json

from understudy.kube import raws

PATTERNS = (("data",), ("spec", "config", "*", "parameters"))


def read(text):
    obj = json.loads(text)
    raws.mark(text.encode(), obj, PATTERNS)
    return obj


def test_what_is_written_plainly_is_what_it_says():
    assert read('{"data":{"a":1,"b":[2]}}') == {"data": {"b": [2], "a": 1}}


def test_blanks_and_order_are_a_difference():
    plain = read('{"data":{"a":1,"b":2}}')
    for other in ('{"data":{"a": 1,"b":2}}', '{"data":{"b":2,"a":1}}'):
        assert read(other) != plain
        assert read(other) == read(other)


def test_values_are_found_in_lists_and_behind_blanks():
    text = ' { "kind" : "x" , "spec":{"config":[ {} , {"parameters":{ }} ],"n":[1, {"data":2}]}}'
    found = raws.texts(read(text), PATTERNS)
    assert found == {("spec", "config", 1, "parameters"): "{ }"}


def test_what_was_kept_apart_comes_back():
    obj = read('{"data":{"a": 1}}')
    stored = json.loads(json.dumps(obj))
    assert stored != obj
    assert raws.restored(stored, raws.texts(obj, PATTERNS)) == obj


def test_what_is_no_object_is_left_alone():
    assert read('{"data":[ 1 ],"spec":"x"}') == {"data": [1], "spec": "x"}
    assert raws.texts({"data": None}, PATTERNS) == {}
