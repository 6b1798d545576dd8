"""What is wrong with JSON text is said in Go's words."""

import pytest

from understudy.kube import jsontext


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (b'{"a":nope}', "invalid character 'o' in literal null (expecting 'u')"),
        (b"{x", "invalid character 'x' looking for beginning of object key string"),
        (b"xyz", "invalid character 'x' looking for beginning of value"),
        (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
        (b"[1,]", "invalid character ']' looking for beginning of value"),
        (b'{"a" 1}', "invalid character '1' after object key"),
        (b'{"a":1 "b":2}', "invalid character '\"' after object key:value pair"),
        (b"[1 2]", "invalid character '2' after array element"),
        (b"{} x", "invalid character 'x' after top-level value"),
        (b'"a\x01"', "invalid character '\\x01' in string literal"),
        (b'"\\x"', "invalid character 'x' in string escape code"),
        (b'"\\u00g0"', "invalid character 'g' in \\u hexadecimal character escape"),
        (b"-x", "invalid character 'x' in numeric literal"),
        (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
        (b"1ex", "invalid character 'x' in exponent of numeric literal"),
        (b"{'a':1}", "invalid character '\\'' looking for beginning of object key string"),
        (b"\xc3\xa9", "invalid character 'Ã' looking for beginning of value"),
        (b'{"a":', "unexpected end of JSON input"),
        (b"", "unexpected end of JSON input"),
        (b"[" * 10_001, "exceeded max depth"),
    ],
)
def test_the_first_mistake_is_told(body, complaint):
    assert jsontext.complaint(body) == complaint


@pytest.mark.parametrize("body", [b' {"a": [1, -0.5e+3, true, null, "\\u00e9"]}\n', b'"\xff"'])
def test_what_go_reads_is_no_mistake(body):
    assert jsontext.complaint(body) == ""


def test_bytes_that_are_no_text_become_replacement_characters():
    assert jsontext.loads(b'["\xff", "\\ud800", "\\ud83d\\ude00"]') == ["�", "�", "😀"]


def test_duplicates_are_listed_once_and_in_order():
    body = b'{"z":{"a":1,"a":2,"a":3},"l":[{"b":1,"b":1}],"z":1}'
    assert jsontext.duplicates(body) == [
        'duplicate field "z.a"',
        'duplicate field "l[0].b"',
        'duplicate field "z"',
    ]
