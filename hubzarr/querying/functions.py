"""The functions and types that a query may use.

A list of what is allowed, since a list of what is forbidden would grow holes with each
release of DuckDB. All of them compute from their arguments alone: none reads files,
settings, variables, the environment or the catalogue, none sleeps or writes.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "AGGREGATES",
    "COMPARISONS",
    "EQUALITIES",
    "FUNCTIONS",
    "LAMBDA_FUNCTIONS",
    "LENGTHS",
    "MEMBERSHIP",
    "NUMERIC_TYPES",
    "OF_NUMBERS",
    "OF_VECTORS",
    "TYPES",
    "VOLATILE",
    "WINDOWS",
]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_OPERATORS = "+ - * / // % ** ^ & | << >> || && @> <@ ^@ ~ @ ~~ !~~ ~~* !~~* ~~~ -> ->>"

_NUMBERS = """
abs acos acosh add asin asinh atan atan2 atanh bin bit_count cbrt ceil ceiling cos cosh cot
degrees divide even exp factorial fdiv floor fmod gamma gcd greatest greatest_common_divisor hex
isfinite isinf isnan lcm least least_common_multiple lgamma ln log log10 log2 mod multiply
nextafter pi pow power radians round round_even sign signbit sin sinh sqrt subtract tan tanh
to_hex trunc xor
"""

_TEXTS = """
array_extract ascii bit_length char_length character_length chr concat concat_ws contains
damerau_levenshtein editdist3 ends_with format formatReadableSize format_bytes hamming
ilike_escape instr jaccard jaro_similarity jaro_winkler_similarity lcase left left_grapheme
length length_grapheme levenshtein like_escape lower lpad ltrim md5 mismatches nfc_normalize
not_ilike_escape not_like_escape octet_length ord overlay position prefix printf regexp_escape
regexp_extract regexp_extract_all regexp_full_match regexp_matches regexp_replace
regexp_split_to_array repeat replace reverse right right_grapheme rpad rtrim sha1 sha256 split
split_part starts_with str_split str_split_regex string_split string_split_regex
string_to_array strip_accents strlen strpos substr substring substring_grapheme suffix to_base64
translate trim ucase unicode upper url_decode url_encode
"""

_TIMES = """
age century date_add date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc
day dayname dayofmonth dayofweek dayofyear days_in_month decade epoch epoch_ms epoch_ns epoch_us
era hour isodow isoyear julian last_day make_date make_time make_timestamp make_timestamptz
microsecond millennium millisecond minute month monthname nanosecond quarter second strftime
strptime time_bucket timezone to_centuries to_days to_decades to_hours to_microseconds
to_millennia to_milliseconds to_minutes to_months to_quarters to_seconds to_timestamp to_weeks
to_years try_strptime week weekday weekofyear year yearweek
"""

# Without list_aggregate and its like, which call whatever function a text names.
_LISTS = """
apply array_append array_apply array_cat array_concat
array_contains array_cosine_distance array_cosine_similarity array_cross_product array_distance
array_distinct array_dot_product array_filter array_has array_has_all array_has_any array_indexof
array_inner_product array_intersect array_length array_negative_dot_product
array_negative_inner_product array_pop_back array_pop_front array_position array_prepend
array_push_back array_push_front array_reduce array_resize array_reverse array_reverse_sort
array_select array_slice array_sort array_to_string array_transform array_unique array_value
array_where array_zip element_at filter flatten generate_series len
list_any_value list_append list_apply list_avg list_cat list_concat list_contains
list_cosine_distance list_cosine_similarity list_count list_distance list_distinct
list_dot_product list_element list_entropy list_extract list_filter list_first list_has
list_has_all list_has_any list_indexof list_inner_product list_intersect list_last list_max
list_median list_min list_mode list_negative_dot_product list_negative_inner_product list_pack
list_position list_prepend list_product list_reduce list_resize list_reverse list_reverse_sort
list_select list_slice list_sort list_stddev_pop list_stddev_samp list_string_agg list_sum
list_transform list_unique list_value list_var_pop list_var_samp list_where list_zip range reduce
unnest
"""

_OBJECTS = """
json json_array json_array_length json_contains json_exists
json_extract json_extract_path json_extract_path_text json_extract_string json_keys
json_merge_patch json_object json_pretty json_quote json_structure json_type json_valid
json_value map map_contains map_entries map_extract map_extract_value map_from_entries map_keys
map_values struct_extract struct_keys struct_values to_json
"""

_OTHERS = "hash if ifnull nullif typeof"

_TENSORS = "ndim shape"  # ours: columns of the dataset, not functions of DuckDB

#: Functions whose results differ from call to call: conditions with them are not split.
VOLATILE: Final = frozenset({"gen_random_uuid", "random", "uuid"})

#: Functions of the rows of a group.
AGGREGATES: Final = _words(
    """
    any_value approx_count_distinct approx_quantile approx_top_k arbitrary arg_max arg_min argmax
    argmin array_agg avg bit_and bit_or bit_xor bool_and bool_or corr count count_if count_star
    countif covar_pop covar_samp entropy favg first fsum geomean geometric_mean group_concat
    histogram kahan_sum kurtosis kurtosis_pop last list listagg mad max max_by mean median min
    min_by mode product quantile quantile_cont quantile_disc regr_avgx regr_avgy regr_count
    regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy reservoir_quantile sem skewness
    stddev stddev_pop stddev_samp string_agg sum sumkahan var_pop var_samp variance
    """
)

#: Functions that need OVER.
WINDOWS: Final = _words(
    """
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank
    rank_dense row_number
    """
)

#: Functions that take a function of list elements.
LAMBDA_FUNCTIONS: Final = _words(
    """
    apply array_apply array_filter array_reduce array_transform filter list_apply list_filter
    list_reduce list_transform reduce
    """
)

#: All that a query may call.
FUNCTIONS: Final = (
    _words(" ".join((_OPERATORS, _NUMBERS, _TEXTS, _TIMES, _LISTS, _OBJECTS, _OTHERS, _TENSORS)))
    | AGGREGATES
    | WINDOWS
    | VOLATILE
)

#: Types that a query may cast to: what it may call them, and DuckDB's own name.
TYPES: Final = {
    alias: name
    for name, aliases in {
        "BOOLEAN": "BOOL LOGICAL",
        "TINYINT": "INT1",
        "SMALLINT": "INT2 INT16 SHORT",
        "INTEGER": "INT INT4 INT32 SIGNED",
        "BIGINT": "INT8 INT64 LONG",
        "HUGEINT": "INT128",
        "UTINYINT": "UINT8",
        "USMALLINT": "UINT16",
        "UINTEGER": "UINT32",
        "UBIGINT": "UINT64",
        "FLOAT": "FLOAT4 FLOAT32 REAL",
        "DOUBLE": "FLOAT8 FLOAT64",
        "DECIMAL": "NUMERIC DEC",
        "VARCHAR": "TEXT STRING CHAR BPCHAR",
        "JSON": "",
        "DATE": "",
        "TIME": "",
        "TIMESTAMP": "DATETIME TIMESTAMP_US",
        "TIMESTAMP_S": "",
        "TIMESTAMP_MS": "",
        "TIMESTAMP_NS": "",
        "TIMESTAMP WITH TIME ZONE": "TIMESTAMPTZ",
        "INTERVAL": "",
    }.items()
    for alias in (name, *aliases.split())
}

#: Types of numbers.
NUMERIC_TYPES: Final = frozenset(
    name for name in TYPES.values() if name in {"FLOAT", "DOUBLE"} or name.endswith(("INT", "GER"))
)

#: Comparisons for which numbers of classes serve as well as names do.
EQUALITIES: Final = frozenset({"=", "<>", "IS DISTINCT FROM", "IS NOT DISTINCT FROM", "IN"})

#: All comparisons.
COMPARISONS: Final = EQUALITIES | {"<", "<=", ">", ">=", "BETWEEN"}

#: Functions that take labels as numbers.
OF_NUMBERS: Final = _words(
    """
    + - * / // % ** ^ & | << >> abs avg bit_and bit_count bit_or corr list_avg list_median
    list_product list_sum mean median mod pow power round stddev sum variance
    """
)

#: Functions of a list and members of it.
MEMBERSHIP: Final = _words(
    """
    && <@ @> array_contains array_has array_has_all array_has_any array_indexof array_position
    contains list_contains list_has list_has_all list_has_any list_indexof list_position
    """
)

#: Functions that count the items of a list.
LENGTHS: Final = _words("array_length len length")

#: Functions of two vectors of one size.
OF_VECTORS: Final = _words(
    """
    array_cosine_distance array_cosine_similarity array_distance array_dot_product
    array_inner_product array_negative_dot_product array_negative_inner_product
    """
)
