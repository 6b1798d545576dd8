"""Quantities as resource.Quantity reads and prints them."""

import pytest

from understudy.kube import quantities


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0m", "0"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("1", "1"),
        ("1000", "1k"),
        ("1024", "1024"),
        ("1Ki", "1Ki"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Ki", "1000Ki"),
        ("2048Ki", "2Mi"),
        ("0.1Ki", "102400m"),
        ("100e1", "1e3"),
        ("1E3", "1E3"),
        ("1E", "1E"),
        ("0.1n", "1n"),
        ("-0.1n", "-1n"),
        ("-1.5", "-1500m"),
        ("1e30", "1e30"),
        ("-", "0"),
        (".", "0"),
        ("Mi", "0"),
        ("123456789012345678901234567890Ki", "9223372036854775807"),
    ],
)
def test_quantities_have_one_canonical_form(text, canonical):
    assert quantities.canonical(text) == canonical


@pytest.mark.parametrize("text", ["2.250", "1.", "+1", "0001Ki", "500Ki"])
def test_texts_that_the_fast_path_takes_for_canonical_stay_as_written(text):
    assert quantities.canonical(text) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "quantities must match the regular expression "),
        ("abc", "quantities must match the regular expression "),
        ("1.2.3", "quantities must match the regular expression "),
        ("1KI", "quantities must match the regular expression "),
        ("1 Gi", "quantities must match the regular expression "),
        ("1e", "unable to parse quantity's suffix"),
        ("1m5", "unable to parse quantity's suffix"),
        ("1ki", "unable to parse quantity's suffix"),
        ("1e99999999999", "unable to parse quantity's suffix"),
    ],
)
def test_what_is_no_quantity_is_refused_in_kubernetes_words(text, message):
    with pytest.raises(quantities.QuantityError) as caught:
        quantities.canonical(text)
    assert str(caught.value).startswith(message)


def test_numbers_are_quantities_and_booleans_are_not():
    assert quantities.canonical(4) == "4"
    assert quantities.canonical(0.5) == "500m"
    assert quantities.canonical(2.0) == "2"
    with pytest.raises(quantities.QuantityError):
        quantities.canonical(True)


def test_amounts_compare_whatever_their_suffix():
    assert quantities.parse("1000m") == quantities.parse("1")
    assert quantities.parse("1Gi") > quantities.parse("1G")
    assert quantities.parse("-1") < quantities.parse("1m")
    assert quantities.parse("1e1024") > quantities.parse("9E")
    assert hash(quantities.parse("1000m")) == hash(quantities.parse("1"))


def test_sums_keep_the_format_of_the_first_that_is_not_zero():
    assert str(quantities.parse("512Mi") + quantities.parse("512Mi")) == "1Gi"
    assert str(quantities.ZERO + quantities.parse("1Gi")) == "1Gi"
    assert str(quantities.parse("1") - quantities.parse("250m")) == "750m"
    assert str(quantities.ZERO - quantities.parse("1Ki")) == "-1Ki"
    assert str(quantities.parse("250m") * 4) == "1"


def test_whole_and_milli_values_round_away_from_zero():
    assert quantities.parse("1500m").value == 2
    assert quantities.parse("-1500m").value == -2
    assert quantities.parse("1u").milli_value == 1
    assert quantities.parse("2Ki").value == 2048


@pytest.mark.parametrize("text", ["1e99999999", "1e1025", "9" * 5000, "0." + "0" * 5000 + "1"])
def test_numbers_too_large_to_write_out_are_refused(text):
    with pytest.raises(quantities.QuantityError):
        quantities.canonical(text)


def test_the_smallest_exponents_are_one_nano():
    assert quantities.canonical("1e-999999999") == "1e-9"
