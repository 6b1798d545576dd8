"""URLs as Go reads them."""

import pytest

from understudy.kube import urls


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("https://u:p@h:8/a/b?q=1#f", ("https", "", "u:p", "h:8", "/a/b", "q=1", "f")),
        ("HTTP://h", ("http", "", None, "h", "", "", "")),
        ("mailto:a@b", ("mailto", "a@b", None, "", "", "", "")),
        ("//h/p", ("", "", None, "h", "/p", "", "")),
        ("///p", ("", "", None, "", "///p", "", "")),
        ("a/b:c", ("", "", None, "", "a/b:c", "", "")),
        ("https://[::1]:8/", ("https", "", None, "[::1]:8", "/", "", "")),
        ("1http:/x", None),
        ("", ("", "", None, "", "", "", "")),
    ],
)
def test_a_reference_in_its_parts(text, found):
    if found is None:
        with pytest.raises(ValueError, match="first path segment in URL cannot contain colon"):
            urls.parse(text)
    else:
        assert tuple(urls.parse(text)) == found


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "empty url"),
        (":x", "missing protocol scheme"),
        ("x/y", "invalid URI for request"),
        ("#%blah$#@", "invalid URI for request"),
        ("http://#%blah$#@", "net/url: invalid userinfo"),
        ("http://h\x01", "net/url: invalid control character in URL"),
        ("http://h h/", 'invalid character " " in host name'),
        ("http://h#x", 'invalid character "#" in host name'),
        ("http://h:x/", 'invalid port ":x" after host'),
        ("test://test:test", 'invalid port ":test" after host'),
        ("http://[::1/", "missing ']' in host"),
        ("http://h/%zz", 'invalid URL escape "%zz"'),
        ("http://h%41/", 'invalid URL escape "%41"'),
    ],
)
def test_what_is_no_request_uri_is_told_in_go_s_words(text, why):
    with pytest.raises(ValueError, match="parse ") as caught:
        urls.check_request_uri(text)
    assert str(caught.value).endswith(f": {why}")


@pytest.mark.parametrize("text", ["/p", "http://h", "oci://x/y:z", "x:y", "http://h/a b", "*"])
def test_what_is_one_passes(text):
    urls.check_request_uri(text)
