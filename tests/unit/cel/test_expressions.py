"""What expressions evaluate to: the language, and each of Kubernetes' function libraries."""

import pytest

from understudy.kube.cel import errors, programs, types

ENVIRONMENT = programs.Environment(
    variables={
        "s": types.STRING, "n": types.INT, "d": types.DYN, "l": types.list_of(types.INT),
        "words": types.list_of(types.STRING), "m": types.map_of(types.STRING, types.INT),
    },
)  # fmt: skip
VARIABLES = {
    "s": "Straße", "n": 7, "d": {"a": {"b": [1, "x", None]}}, "l": [3, 1, 2],
    "words": ["b", "a"], "m": {"one": 1, "two": 2},
}  # fmt: skip


def value(expression):
    return programs.compile(expression, ENVIRONMENT).evaluate(VARIABLES)[0]


TRUE = [
    # the language
    "1 + 2 * 3 == 7",
    "-7 / 2 == -3 && -7 % 2 == -1",
    "7u / 2u == 3u",
    "1.5 + 1.5 == 3.0",
    "'a' + 'b' == 'ab' && b'a' + b'b' == b'ab' && [1] + [2] == [1, 2]",
    "r'\\d' == '\\\\d'",
    "'\\u00e9' == 'é'",
    "'a' < 'b' && 1 < 2 && 1u < 2u && false < true",
    "1 < 2.5 && 2u > 1 && dyn(1) == 1.0",
    "dyn(1) == dyn(1u) && dyn(1) == dyn(1.0)",
    "1 in l && !(9 in l) && 'one' in m",
    "m['one'] == 1 && m.two == 2 && l[1] == 1",
    "n > 5 ? true : false",
    "size(s) == 6 && s.size() == 6 && size(l) == 3 && size(m) == 2",
    "has(d.a) && has(d.a.b) && !has(d.x)",
    "{'a': 1}.a == 1 && {1: 'x'}[1] == 'x' && {true: 1}[true] == 1",
    "null == null && d.a.b[2] == null",
    "type(1) == int && type('') == string && type([]) == list && type(null) == null_type",
    "int('7') == 7 && int(7.9) == 7 && string(7) == '7' && double('1.5') == 1.5",
    "string(1.0) == '1' && string(true) == 'true' && bool('true')",
    "uint(7) == 7u && string(b'x') == 'x' && bytes('x') == b'x'",
    "true || d.nope && true",
    "(d.nope == 1) || true",
    "!((d.nope == 1) && false)",
    # macros
    "l.all(x, x > 0) && !l.all(x, x > 1)",
    "l.exists(x, x == 2) && !l.exists(x, x == 9)",
    "l.exists_one(x, x > 2)",
    "l.map(x, x * 2) == [6, 2, 4] && l.map(x, x > 1, x * 2) == [6, 4]",
    "l.filter(x, x > 1) == [3, 2]",
    "m.all(k, k.size() == 3) && m.exists(k, m[k] == 2)",
    "[d.nope, d.nor].exists(x, x == 1) || true",
    "m.all(k, v, v > 0) && l.exists(i, v, i == 0 && v == 3)",
    "m.transformList(k, v, v).sum() == 3",
    "m.transformMap(k, v, v + 1) == {'one': 2, 'two': 3}",
    "m.transformMapEntry(k, v, {string(v): k}) == {'1': 'one', '2': 'two'}",
    "l.existsOne(i, v, v == i + 3)",
    # optionals
    "d.?a.?b.hasValue() && !d.?x.?y.hasValue()",
    "d.?x.orValue('z') == 'z' && d.?a.orValue({}) != {}",
    "m[?'nine'].orValue(9) == 9 && l[?0].value() == 3 && !l[?5].hasValue()",
    "optional.of(1).optMap(x, x + 1).value() == 2",
    "optional.of(1).optFlatMap(x, optional.none()).orValue(5) == 5",
    "!optional.ofNonZeroValue('').hasValue() && optional.ofNonZeroValue(1).hasValue()",
    "optional.none().or(optional.of(2)).value() == 2",
    "[?m[?'one'], ?m[?'nine']] == [1] && {?'x': m[?'nine']} == {}",
    "optional.of(1) == optional.of(1) && optional.none() == optional.none()",
    # texts of values
    "'%d %s %f'.format([1, 'abc', 1.0]) == '1 abc 1.000000'",
    "'%f'.format([1234.5]) == '1,234.500000' && '%.1e'.format([12.0]) == '1.2\u00d710⁰¹'",
    "string(timestamp('2011-08-18T19:03:37.01+01:00')) == '2011-08-18T19:03:37.01+01:00'",
    "timestamp('2011-08-18T19:03:37+01:00').getHours() == 19",
    "timestamp('2011-08-18T19:03:37+01:00').getHours('UTC') == 18",
    # strings
    "s.startsWith('Str') && s.endsWith('ße') && s.contains('aß')",
    "'abc'.matches('^[a-c]+$') && matches('xay', 'a')",
    "s.charAt(4) == 'ß' && s.indexOf('ß') == 4 && s.indexOf('q') == -1",
    "'a,b,c'.split(',') == ['a', 'b', 'c'] && 'a,b,c'.split(',', 2) == ['a', 'b,c']",
    "['a', 'b'].join('-') == 'a-b' && ['a', 'b'].join() == 'ab'",
    "'aXbX'.replace('X', '-') == 'a-b-' && 'aXbX'.replace('X', '-', 1) == 'a-bX'",
    "'abcd'.substring(2) == 'cd' && 'abcd'.substring(1, 3) == 'bc'",
    "'  x '.trim() == 'x' && 'AbC'.lowerAscii() == 'abc' && 'AbC'.upperAscii() == 'ABC'",
    "'xyx'.lastIndexOf('x') == 2 && 'xyx'.lastIndexOf('x', 1) == 0",
    "strings.quote('a\"b') == '\"a\\\\\"b\"'",
    "'%s has %d of %.2f and %x'.format([dyn('a'), 3, 1.5, 255]) == 'a has 3 of 1.50 and ff'",
    "'%s %s'.format([dyn([1, 2]), {'k': null}]) == '[1, 2] {\"k\": null}'",
    # regex
    "'abc 123'.find('[0-9]+') == '123' && 'abc'.find('[0-9]') == ''",
    "'1 2 3'.findAll('[0-9]') == ['1', '2', '3'] && '1 2 3'.findAll('[0-9]', 2) == ['1', '2']",
    # lists and sets
    "[1, 2].isSorted() && !l.isSorted() && ['a', 'b'].isSorted()",
    "l.sum() == 6 && l.min() == 1 && l.max() == 3 && [].sum() == 0",
    "l.indexOf(2) == 2 && [1, 1].lastIndexOf(1) == 1",
    "l.slice(1, 3) == [1, 2] && [[1], [2, 3]].flatten() == [1, 2, 3]",
    "l.reverse() == [2, 1, 3] && l.sort() == [1, 2, 3] && [1, 1, 2].distinct() == [1, 2]",
    "[{'a': 2}, {'a': 1}].sortBy(x, x.a)[0].a == 1",
    "lists.range(3) == [0, 1, 2]",
    "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1])",
    "sets.intersects([1], [1, 2]) && !sets.intersects([1], [2])",
    # urls, addresses
    "isURL('https://u@h:8/p?q=1#f') && !isURL('../x')",
    "url('https://h:8/p%20x?q=1&q=2').getHostname() == 'h'",
    "url('https://h:8/').getPort() == '8' && url('https://h:8/').getHost() == 'h:8'",
    "url('https://h/p x?q=1').getQuery() == {'q': ['1']}",
    "url('https://h/a b').getEscapedPath() == '/a%20b'",
    "isIP('10.0.0.1') && isIP('::1') && !isIP('10.0.0') && !isIP('::ffff:1.2.3.4')",
    "ip('10.0.0.1').family() == 4 && ip('::1').isLoopback()",
    "ip.isCanonical('::1') && !ip.isCanonical('0::1')",
    "cidr('10.0.0.0/8').containsIP('10.1.1.1') && cidr('10.0.0.0/8').containsCIDR('10.1.0.0/16')",
    "cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && cidr('10.0.0.0/8').prefixLength() == 8",
    "string(cidr('10.0.0.0/8').ip()) == '10.0.0.0' && isCIDR('::/0')",
    # quantities, versions, formats
    "quantity('1k').compareTo(quantity('1000')) == 0 && quantity('1k') == quantity('1000')",
    "quantity('50M').isGreaterThan(quantity('1k')) && quantity('1').add(2).asInteger() == 3",
    "quantity('200m').asApproximateFloat() == 0.2 && sign(quantity('-1')) == -1",
    "isQuantity('1Gi') && !isQuantity('1Zx') && quantity('2').sub(quantity('1')).isInteger()",
    "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('v1.2', true).minor() == 2",
    "isSemver('1.0.0-alpha.1') && !isSemver('1.0')",
    "!format.dns1123Label().validate('ok').hasValue()",
    "format.dns1123Label().validate('No').value().size() == 1",
    "format.named('uuid').hasValue() && !format.named('nope').hasValue()",
    # time
    "duration('1h30m') == duration('90m') && duration('90s').getMinutes() == 1",
    "timestamp('2024-01-02T03:04:05Z').getHours() == 3",
    "timestamp('2024-01-02T03:04:05Z').getHours('+02:00') == 5",
    "timestamp('2024-01-02T00:00:00Z') + duration('24h') == timestamp('2024-01-03T00:00:00Z')",
    "timestamp('2024-01-02T00:00:00Z').getDayOfWeek() == 2",
    "string(timestamp('2024-01-02T03:04:05.120Z')) == '2024-01-02T03:04:05.12Z'",
    "string(duration('1m1.5s')) == '61.5s'",
]  # fmt: skip


@pytest.mark.parametrize("expression", TRUE)
def test_an_expression_holds(expression):
    assert value(expression) is True


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("1 / 0 == 1", "division by zero"),
        ("1 % 0 == 1", "modulus by zero"),
        ("9223372036854775807 + 1 > 0", "integer overflow"),
        ("m['nine'] == 1", "no such key: nine"),
        ("l[5] == 1", "index out of bounds: 5"),
        ("d.nope == 1", "no such key: nope"),
        ("d.a + 1 == 2", "no such overload"),
        ("int(s) == 1", "type conversion error from 'string' to 'int'"),
        ("optional.none().value() == 1", "optional.none() dereference"),
        ("[].min() == 1", "min called on empty list"),
        ("duration(s) == duration('1s')", "to 'google.protobuf.Duration'"),
    ],
)
def test_evaluation_fails_with_the_reference_s_words(expression, text):
    with pytest.raises(errors.EvaluationError) as caught:
        value(expression)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("n ==", "ERROR: <input>:1:5: Syntax error: mismatched input '<EOF>' expecting {"),
        ("nope", "ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')"),
        ("n + s", "ERROR: <input>:1:3: found no matching overload for '_+_' applied to "
                  "'(int, string)'"),
        ("s.nope()", "ERROR: <input>:1:7: undeclared reference to 'nope' (in container '')"),
        ("l.all(x, x)", "ERROR: <input>:1:10: expected type 'bool' but found 'int'"),
        ("l.all(1, true)", "ERROR: <input>:1:7: argument must be a simple name"),
        ("s.matches('(')", "ERROR: <input>:1:11: invalid matches argument"),
        ("l.map(1, true)", "ERROR: <input>:1:7: argument is not an identifier"),
        ("has(n)", "ERROR: <input>:1:5: invalid argument to has() macro"),
        ("l.map(__result__, 1)", "iteration variable overwrites accumulator variable"),
        ("l[", "mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', '?', 'true'"),
        ("n.x", "ERROR: <input>:1:2: type 'int' does not support field selection"),
        ("n && true", "ERROR: <input>:1:1: expected type 'bool' but found 'int'"),
        ("[1, 'a']", "ERROR: <input>:1:5: expected type 'int' but found 'string'"),
        ("timestamp(-62135596801)", "ERROR: <input>:1:11: invalid timestamp argument"),
        ("m.true", "Syntax error: mismatched input 'true' expecting IDENTIFIER"),
        ("duration('1')", "invalid duration argument"),
    ],
)  # fmt: skip
def test_what_does_not_compile_says_where_and_why(expression, text):
    with pytest.raises(errors.CompileError) as caught:
        programs.compile(expression, ENVIRONMENT)
    assert text in str(caught.value)


def test_a_pattern_that_is_none_makes_no_program():
    with pytest.raises(errors.ProgramError) as caught:
        programs.compile("s.find(')')", ENVIRONMENT)
    assert str(caught.value) == "error parsing regexp: unexpected ): `)`"


def test_an_error_points_at_the_character():
    with pytest.raises(errors.CompileError) as caught:
        programs.compile("true &&\n  (n == 'a')", ENVIRONMENT)
    assert str(caught.value) == (
        "ERROR: <input>:2:6: found no matching overload for '_==_' applied to '(int, string)'\n"
        " |   (n == 'a')\n"
        " | .....^"
    )


def test_evaluation_stops_when_its_budget_is_spent():
    program = programs.compile("l.all(x, l.all(y, l.all(z, x + y + z > 0)))", ENVIRONMENT)
    with pytest.raises(errors.CostError):
        program.evaluate(VARIABLES, 50)
    _, cost = program.evaluate(VARIABLES, 1000)
    assert 50 < cost < 1000


def test_a_program_knows_its_type_and_the_variables_it_uses():
    program = programs.compile("l.map(x, x > n)", ENVIRONMENT)
    assert str(program.result) == "list(bool)"
    assert (program.uses("l"), program.uses("n"), program.uses("s")) == (True, True, False)
