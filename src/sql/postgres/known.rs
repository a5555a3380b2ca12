//! Words that may stand before a parenthesis without code of users being called: keywords, and
//! functions of the server itself that are met often.
//!
//! The list need not be complete: what is not in it is looked at now and then, see
//! [`Verdict::may_call`](crate::sql::statement::Verdict::may_call).

/// True if the word, in any case, is one of these.
pub(super) fn is_known(word: &[u8]) -> bool {
    let mut buffer = [0; LONGEST];
    let Some(lowered) = buffer.get_mut(..word.len()) else {
        return false;
    };
    lowered.copy_from_slice(word);
    lowered.make_ascii_lowercase();
    let lowered: &[u8] = lowered;
    KNOWN
        .binary_search_by(|known| known.as_bytes().cmp(lowered))
        .is_ok()
}

const LONGEST: usize = 32;

/// Sorted.
#[rustfmt::skip]
const KNOWN: [&str; 252] = [
    "abs", "age", "all", "and", "any", "array", "array_agg", "array_append", "array_length",
    "array_position", "array_remove", "array_to_json", "array_to_string", "as", "asc", "at",
    "avg", "between", "bit_and", "bit_or", "bool_and", "bool_or", "btrim", "by", "cardinality",
    "case", "cast", "ceil", "ceiling", "char", "char_length", "character", "check", "chr",
    "coalesce", "concat", "concat_ws", "conflict", "constraint", "convert_from", "count",
    "current_database", "current_schema", "current_setting", "current_timestamp", "current_user",
    "date_part", "date_trunc", "decimal", "decode", "default", "dense_rank", "desc", "div", "do",
    "else", "encode", "end", "every", "except", "exists", "exp", "extract", "filter",
    "first_value", "float", "floor", "format", "format_type", "from", "gen_random_uuid",
    "generate_series", "generate_subscripts", "get_byte", "greatest", "group", "grouping",
    "having", "in", "include", "index", "initcap", "insert", "intersect", "interval", "into",
    "is", "join", "json_agg", "json_array_elements", "json_build_array", "json_build_object",
    "json_object_agg", "jsonb_agg", "jsonb_array_elements", "jsonb_array_length",
    "jsonb_build_array", "jsonb_build_object", "jsonb_each", "jsonb_each_text",
    "jsonb_object_agg", "jsonb_object_keys", "jsonb_set", "jsonb_to_record", "jsonb_to_recordset",
    "jsonb_typeof", "key", "lag", "last_value", "lateral", "lead", "least", "left", "length",
    "like", "limit", "ln", "localtimestamp", "log", "lower", "lpad", "ltrim", "make_date",
    "make_interval", "materialized", "max", "md5", "min", "mod", "not", "now", "nth_value",
    "ntile", "nullif", "nulls", "numeric", "numrange", "octet_length", "on", "only", "or",
    "order", "over", "overlaps", "overlay", "partition", "percent_rank", "percentile_cont",
    "percentile_disc", "pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_unlock",
    "pg_advisory_unlock_all", "pg_advisory_unlock_shared", "pg_advisory_xact_lock",
    "pg_advisory_xact_lock_shared", "pg_backend_pid", "pg_get_constraintdef", "pg_get_expr",
    "pg_get_indexdef", "pg_get_userbyid", "pg_is_in_recovery", "pg_notify", "pg_relation_size",
    "pg_size_pretty", "pg_sleep", "pg_table_is_visible", "pg_table_size",
    "pg_total_relation_size", "pg_try_advisory_lock", "pg_try_advisory_lock_shared",
    "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared", "pg_typeof", "position",
    "power", "primary", "quote_ident", "quote_literal", "random", "rank", "references",
    "regexp_match", "regexp_matches", "regexp_replace", "regexp_split_to_array",
    "regexp_split_to_table", "repeat", "replace", "returning", "returns", "reverse", "right",
    "round", "row", "row_number", "row_to_json", "rows", "rpad", "rtrim", "select", "set",
    "set_config", "sha256", "sign", "similar", "some", "split_part", "sqrt", "starts_with",
    "stddev", "string_agg", "string_to_array", "strpos", "substr", "substring", "sum", "then",
    "time", "timestamp", "timestamptz", "timezone", "to", "to_char", "to_date", "to_json",
    "to_jsonb", "to_number", "to_timestamp", "to_tsquery", "to_tsvector", "translate", "trim",
    "trunc", "tstzrange", "txid_current", "union", "unique", "unnest", "upper", "using", "uuid",
    "values", "varchar", "variance", "varying", "version", "when", "where", "width_bucket",
    "with", "within",
];

#[cfg(test)]
mod tests {
    use super::{KNOWN, LONGEST, is_known};

    #[test]
    fn the_list_can_be_searched() {
        assert!(KNOWN.is_sorted());
        assert_eq!(KNOWN.iter().map(|word| word.len()).max(), Some(LONGEST));
        assert!(is_known(b"Count") && is_known(b"with") && is_known(b"abs"));
        assert!(!is_known(b"counts") && !is_known(b"") && !is_known(&[b'a'; 99]));
    }
}
