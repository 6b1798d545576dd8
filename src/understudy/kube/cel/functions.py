"""The functions and operators an expression may use: names, overloads, signatures.

One line each: `id: receiver.name(args) -> result` for member functions, `id: name(args) -> result`
for global ones. Capital letters are type parameters, `$` stands for each comparable type. The ids
are those of cel-go and k8s.io/apiserver, because costs are kept by them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

from understudy.kube.cel import types

STANDARD = """
conditional: _?_:_(bool, A, A) -> A
logical_and: _&&_(bool, bool) -> bool
logical_or: _||_(bool, bool) -> bool
logical_not: !_(bool) -> bool
not_strictly_false: @not_strictly_false(bool) -> bool
equals: _==_(A, A) -> bool
not_equals: _!=_(A, A) -> bool
add_bytes: _+_(bytes, bytes) -> bytes
add_double: _+_(double, double) -> double
add_duration_duration: _+_(duration, duration) -> duration
add_duration_timestamp: _+_(duration, timestamp) -> timestamp
add_timestamp_duration: _+_(timestamp, duration) -> timestamp
add_int64: _+_(int, int) -> int
add_list: _+_(list(A), list(A)) -> list(A)
add_string: _+_(string, string) -> string
add_uint64: _+_(uint, uint) -> uint
divide_double: _/_(double, double) -> double
divide_int64: _/_(int, int) -> int
divide_uint64: _/_(uint, uint) -> uint
modulo_int64: _%_(int, int) -> int
modulo_uint64: _%_(uint, uint) -> uint
multiply_double: _*_(double, double) -> double
multiply_int64: _*_(int, int) -> int
multiply_uint64: _*_(uint, uint) -> uint
negate_double: -_(double) -> double
negate_int64: -_(int) -> int
subtract_double: _-_(double, double) -> double
subtract_duration_duration: _-_(duration, duration) -> duration
subtract_int64: _-_(int, int) -> int
subtract_timestamp_duration: _-_(timestamp, duration) -> timestamp
subtract_timestamp_timestamp: _-_(timestamp, timestamp) -> duration
subtract_uint64: _-_(uint, uint) -> uint
index_list: _[_](list(A), int) -> A
index_map: _[_](map(A, B), A) -> B
optional_list_index_int: _[_](optional(list(V)), int) -> optional(V)
optional_map_index_value: _[_](optional(map(K, V)), K) -> optional(V)
in_list: @in(A, list(A)) -> bool
in_map: @in(A, map(A, B)) -> bool
size_bytes: size(bytes) -> int
bytes_size: bytes.size() -> int
size_list: size(list(A)) -> int
list_size: list(A).size() -> int
size_map: size(map(A, B)) -> int
map_size: map(A, B).size() -> int
size_string: size(string) -> int
string_size: string.size() -> int
type: type(A) -> type(A)
bool_to_bool: bool(bool) -> bool
string_to_bool: bool(string) -> bool
bytes_to_bytes: bytes(bytes) -> bytes
string_to_bytes: bytes(string) -> bytes
double_to_double: double(double) -> double
int64_to_double: double(int) -> double
string_to_double: double(string) -> double
uint64_to_double: double(uint) -> double
duration_to_duration: duration(duration) -> duration
int64_to_duration: duration(int) -> duration
string_to_duration: duration(string) -> duration
to_dyn: dyn(A) -> dyn
int64_to_int64: int(int) -> int
double_to_int64: int(double) -> int
duration_to_int64: int(duration) -> int
string_to_int64: int(string) -> int
timestamp_to_int64: int(timestamp) -> int
uint64_to_int64: int(uint) -> int
string_to_string: string(string) -> string
bool_to_string: string(bool) -> string
bytes_to_string: string(bytes) -> string
double_to_string: string(double) -> string
duration_to_string: string(duration) -> string
int64_to_string: string(int) -> string
timestamp_to_string: string(timestamp) -> string
uint64_to_string: string(uint) -> string
timestamp_to_timestamp: timestamp(timestamp) -> timestamp
int64_to_timestamp: timestamp(int) -> timestamp
string_to_timestamp: timestamp(string) -> timestamp
uint64_to_uint64: uint(uint) -> uint
double_to_uint64: uint(double) -> uint
int64_to_uint64: uint(int) -> uint
string_to_uint64: uint(string) -> uint
contains_string: string.contains(string) -> bool
ends_with_string: string.endsWith(string) -> bool
starts_with_string: string.startsWith(string) -> bool
matches: matches(string, string) -> bool
matches_string: string.matches(string) -> bool
timestamp_to_year: timestamp.getFullYear() -> int
timestamp_to_year_with_tz: timestamp.getFullYear(string) -> int
timestamp_to_month: timestamp.getMonth() -> int
timestamp_to_month_with_tz: timestamp.getMonth(string) -> int
timestamp_to_day_of_year: timestamp.getDayOfYear() -> int
timestamp_to_day_of_year_with_tz: timestamp.getDayOfYear(string) -> int
timestamp_to_day_of_month: timestamp.getDayOfMonth() -> int
timestamp_to_day_of_month_with_tz: timestamp.getDayOfMonth(string) -> int
timestamp_to_day_of_month_1_based: timestamp.getDate() -> int
timestamp_to_day_of_month_1_based_with_tz: timestamp.getDate(string) -> int
timestamp_to_day_of_week: timestamp.getDayOfWeek() -> int
timestamp_to_day_of_week_with_tz: timestamp.getDayOfWeek(string) -> int
timestamp_to_hours: timestamp.getHours() -> int
timestamp_to_hours_with_tz: timestamp.getHours(string) -> int
duration_to_hours: duration.getHours() -> int
timestamp_to_minutes: timestamp.getMinutes() -> int
timestamp_to_minutes_with_tz: timestamp.getMinutes(string) -> int
duration_to_minutes: duration.getMinutes() -> int
timestamp_to_seconds: timestamp.getSeconds() -> int
timestamp_to_seconds_tz: timestamp.getSeconds(string) -> int
duration_to_seconds: duration.getSeconds() -> int
timestamp_to_milliseconds: timestamp.getMilliseconds() -> int
timestamp_to_milliseconds_with_tz: timestamp.getMilliseconds(string) -> int
duration_to_milliseconds: duration.getMilliseconds() -> int
"""

OPTIONALS = """
optional_of: optional.of(V) -> optional(V)
optional_ofNonZeroValue: optional.ofNonZeroValue(V) -> optional(V)
optional_none: optional.none() -> optional(V)
optional_value: optional(V).value() -> V
optional_hasValue: optional(V).hasValue() -> bool
optional_or_optional: optional(V).or(optional(V)) -> optional(V)
optional_orValue_value: optional(V).orValue(V) -> V
select_optional_field: _?._(dyn, string) -> optional(V)
list_optindex_optional_int: _[?_](list(V), int) -> optional(V)
optional_list_optindex_optional_int: _[?_](optional(list(V)), int) -> optional(V)
map_optindex_optional_value: _[?_](map(K, V), K) -> optional(V)
optional_map_optindex_optional_value: _[?_](optional(map(K, V)), K) -> optional(V)
list_last: list(V).last() -> optional(V)
list_first: list(V).first() -> optional(V)
optional_unwrap: optional.unwrap(list(optional(V))) -> list(V)
optional_unwrapOpt: list(optional(V)).unwrapOpt() -> list(V)
"""

STRINGS = """
string_char_at_int: string.charAt(int) -> string
string_index_of_string: string.indexOf(string) -> int
string_index_of_string_int: string.indexOf(string, int) -> int
string_last_index_of_string: string.lastIndexOf(string) -> int
string_last_index_of_string_int: string.lastIndexOf(string, int) -> int
string_lower_ascii: string.lowerAscii() -> string
string_replace_string_string: string.replace(string, string) -> string
string_replace_string_string_int: string.replace(string, string, int) -> string
string_split_string: string.split(string) -> list(string)
string_split_string_int: string.split(string, int) -> list(string)
string_substring_int: string.substring(int) -> string
string_substring_int_int: string.substring(int, int) -> string
string_trim: string.trim() -> string
string_upper_ascii: string.upperAscii() -> string
string_format: string.format(list(dyn)) -> string
strings_quote: strings.quote(string) -> string
list_join: list(string).join() -> string
list_join_string: list(string).join(string) -> string
string_find_string: string.find(string) -> string
string_find_all_string: string.findAll(string) -> list(string)
string_find_all_string_int: string.findAll(string, int) -> list(string)
"""

LISTS = """
list_a_index_of_int: list(A).indexOf(A) -> int
list_a_last_index_of_int: list(A).lastIndexOf(A) -> int
list_slice: list(T).slice(int, int) -> list(T)
list_flatten: list(list(T)).flatten() -> list(T)
list_flatten_int: list(dyn).flatten(int) -> list(dyn)
lists_range: lists.range(int) -> list(int)
list_reverse: list(T).reverse() -> list(T)
list_distinct: list(T).distinct() -> list(T)
list_sets_contains_list: sets.contains(list(T), list(T)) -> bool
list_sets_equivalent_list: sets.equivalent(list(T), list(T)) -> bool
list_sets_intersects_list: sets.intersects(list(T), list(T)) -> bool
@mapInsert_map_key_value: cel.@mapInsert(map(K, V), K, V) -> map(K, V)
@mapInsert_map_map: cel.@mapInsert(map(K, V), map(K, V)) -> map(K, V)
"""

KUBERNETES = """
string_to_url: url(string) -> URL
url_get_scheme: URL.getScheme() -> string
url_get_host: URL.getHost() -> string
url_get_hostname: URL.getHostname() -> string
url_get_port: URL.getPort() -> string
url_get_escaped_path: URL.getEscapedPath() -> string
url_get_query: URL.getQuery() -> map(string, list(string))
is_url_string: isURL(string) -> bool
string_to_quantity: quantity(string) -> Quantity
is_quantity_string: isQuantity(string) -> bool
quantity_sign: sign(Quantity) -> int
quantity_is_greater_than: Quantity.isGreaterThan(Quantity) -> bool
quantity_is_less_than: Quantity.isLessThan(Quantity) -> bool
quantity_compare_to: Quantity.compareTo(Quantity) -> int
quantity_get_float: Quantity.asApproximateFloat() -> double
quantity_get_int: Quantity.asInteger() -> int
quantity_is_integer: Quantity.isInteger() -> bool
quantity_add: Quantity.add(Quantity) -> Quantity
quantity_add_int: Quantity.add(int) -> Quantity
quantity_sub: Quantity.sub(Quantity) -> Quantity
quantity_sub_int: Quantity.sub(int) -> Quantity
string_to_ip: ip(string) -> IP
ip_family: IP.family() -> int
ip_is_canonical: ip.isCanonical(string) -> bool
ip_is_unspecified: IP.isUnspecified() -> bool
ip_is_loopback: IP.isLoopback() -> bool
ip_is_link_local_multicast: IP.isLinkLocalMulticast() -> bool
ip_is_link_local_unicast: IP.isLinkLocalUnicast() -> bool
ip_is_global_unicast: IP.isGlobalUnicast() -> bool
is_ip: isIP(string) -> bool
ip_to_string: string(IP) -> string
string_to_cidr: cidr(string) -> CIDR
cidr_contains_ip_string: CIDR.containsIP(string) -> bool
cidr_contains_ip_ip: CIDR.containsIP(IP) -> bool
cidr_contains_cidr_string: CIDR.containsCIDR(string) -> bool
cidr_contains_cidr: CIDR.containsCIDR(CIDR) -> bool
cidr_ip: CIDR.ip() -> IP
cidr_prefix_length: CIDR.prefixLength() -> int
cidr_masked: CIDR.masked() -> CIDR
is_cidr: isCIDR(string) -> bool
cidr_to_string: string(CIDR) -> string
format-validate: Format.validate(string) -> optional(list(string))
format-named: format.named(string) -> optional(Format)
string_to_semver: semver(string) -> Semver
string_bool_to_semver: semver(string, bool) -> Semver
is_semver_string: isSemver(string) -> bool
is_semver_string_bool: isSemver(string, bool) -> bool
semver_is_greater_than: Semver.isGreaterThan(Semver) -> bool
semver_is_less_than: Semver.isLessThan(Semver) -> bool
semver_compare_to: Semver.compareTo(Semver) -> int
semver_major: Semver.major() -> int
semver_minor: Semver.minor() -> int
semver_patch: Semver.patch() -> int
"""

AUTHORIZATION = """
authorizer_path: Authorizer.path(string) -> PathCheck
authorizer_group: Authorizer.group(string) -> GroupCheck
authorizer_serviceaccount: Authorizer.serviceAccount(string, string) -> Authorizer
groupcheck_resource: GroupCheck.resource(string) -> ResourceCheck
resourcecheck_subresource: ResourceCheck.subresource(string) -> ResourceCheck
resourcecheck_namespace: ResourceCheck.namespace(string) -> ResourceCheck
resourcecheck_name: ResourceCheck.name(string) -> ResourceCheck
authorizer_fieldselector: ResourceCheck.fieldSelector(string) -> ResourceCheck
authorizer_labelselector: ResourceCheck.labelSelector(string) -> ResourceCheck
pathcheck_check: PathCheck.check(string) -> Decision
resourcecheck_check: ResourceCheck.check(string) -> Decision
decision_errored: Decision.errored() -> bool
decision_error: Decision.error() -> string
decision_allowed: Decision.allowed() -> bool
decision_reason: Decision.reason() -> string
"""

FORMAT_NAMES = (
    "dns1123Label", "dns1123Subdomain", "dns1035Label", "qualifiedName", "dns1123LabelPrefix",
    "dns1123SubdomainPrefix", "dns1035LabelPrefix", "labelValue", "uri", "uuid", "byte", "date",
    "datetime",
)  # fmt: skip

COMPARABLE = ("int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes")
SUMMABLE = ("int", "uint", "double", "duration")
_MIXED = ("int", "uint", "double")
_ID_NAMES = {"int": "int64", "uint": "uint64"}
_SORT_NAMES = {
    "duration": "google.protobuf.Duration", "timestamp": "google.protobuf.Timestamp",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Overload:
    """One signature of a function; of a member function the receiver is the first argument."""

    id: str
    args: tuple[types.Type, ...]
    result: types.Type
    member: bool
    params: tuple[str, ...]


Functions = dict[str, tuple[Overload, ...]]


@functools.cache
def standard() -> Functions:
    """Return every function of Kubernetes' CEL, by name."""
    out: dict[str, list[Overload]] = {}
    for table in (STANDARD, OPTIONALS, STRINGS, LISTS, KUBERNETES, AUTHORIZATION):
        for line in table.strip().splitlines():
            _add(out, line)
    for line in _generated():
        _add(out, line)
    return {name: tuple(overloads) for name, overloads in out.items()}


def extended(more: str) -> Functions:
    """Return the standard functions and those of a further table."""
    out = {name: list(overloads) for name, overloads in standard().items()}
    for line in more.strip().splitlines():
        _add(out, line)
    return {name: tuple(overloads) for name, overloads in out.items()}


def _generated() -> list[str]:
    lines: list[str] = []
    orders = (("less", "_<_"), ("less_equals", "_<=_"), ("greater", "_>_"))
    for word, sign in (*orders, ("greater_equals", "_>=_")):
        for kind in COMPARABLE:
            lines.append(f"{word}_{_ID_NAMES.get(kind, kind)}: {sign}({kind}, {kind}) -> bool")
            if kind in _MIXED:
                lines += [
                    f"{word}_{_ID_NAMES.get(kind, kind)}_{_ID_NAMES.get(other, other)}: "
                    f"{sign}({kind}, {other}) -> bool"
                    for other in _MIXED
                    if other != kind
                ]
    for kind in COMPARABLE:
        lines += [
            f"list_{kind}_is_sorted_bool: list({kind}).isSorted() -> bool",
            f"list_{kind}_max_{kind}: list({kind}).max() -> {kind}",
            f"list_{kind}_min_{kind}: list({kind}).min() -> {kind}",
        ]
        own = _SORT_NAMES.get(kind, kind)
        lines += [
            f"list_{own}_sort: list({kind}).sort() -> list({kind})",
            f"list_{own}_sortByAssociatedKeys: "
            f"list(T).@sortByAssociatedKeys(list({kind})) -> list(T)",
        ]
    lines += [f"list_{kind}_sum_{kind}: list({kind}).sum() -> {kind}" for kind in SUMMABLE]
    lines += [f"format.{name}: format.{name}() -> Format" for name in FORMAT_NAMES]
    return lines


def _add(out: dict[str, list[Overload]], line: str) -> None:
    overload, _, signature = line.partition(": ")
    call, _, result = signature.rpartition(" -> ")
    head, args = _head(call)
    receiver, name = _receiver(head)
    given = [types.parse(arg) for arg in types.split(args)]
    if receiver is not None:
        given.insert(0, receiver)
    made = types.parse(result)
    params: set[str] = set()
    for known in (*given, made):
        _collect(known, params)
    out.setdefault(name, []).append(
        Overload(
            id=overload,
            args=tuple(given),
            result=made,
            member=receiver is not None,
            params=tuple(sorted(params)),
        )
    )


def _head(call: str) -> tuple[str, str]:
    """Split `list(A).indexOf(A)` into `list(A).indexOf` and `A`."""
    depth = 0
    for position in range(len(call) - 1, -1, -1):
        depth += (call[position] == ")") - (call[position] == "(")
        if call[position] == "(" and not depth:
            return call[:position], call[position + 1 : -1]
    return call, ""


def _receiver(head: str) -> tuple[types.Type | None, str]:
    """Split `list(A).indexOf` into a type and a name; `sets.contains` is a name of its own."""
    if head.startswith("_"):
        return None, head
    before, dot, name = head.rpartition(".")
    if dot and (before.endswith(")") or before in types.SIMPLE):
        return types.parse(before), name
    return None, head


def _collect(type: types.Type, params: set[str]) -> None:
    if type.kind == "param":
        params.add(type.name)
    for inner in type.params:
        _collect(inner, params)
