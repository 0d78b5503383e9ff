#!/usr/bin/env python3
"""Call dbt's own macros, each with an argument of every kind that it could be
given, and print a JSON list of [call, value or null, error or null].

usage: calls.py PROJECT_DIR

The project needs a model. A macro that asks the database, or takes something
that is not in VALUES, is left out: what is here are functions of arguments.
"""
import itertools
import json
import os
import sys
from argparse import Namespace

os.chdir(sys.argv[1])

from dbt.cli.main import dbtRunner  # noqa: E402

manifest = dbtRunner().invoke(["--quiet", "parse", "--no-partial-parse"]).result

from dbt.adapters.factory import get_adapter, register_adapter  # noqa: E402
from dbt.clients.jinja import get_rendered  # noqa: E402
from dbt.config import RuntimeConfig  # noqa: E402
from dbt.context import providers  # noqa: E402
from dbt.mp_context import get_mp_context  # noqa: E402
from dbt_common.clients.jinja import get_environment  # noqa: E402
from jinja2 import nodes  # noqa: E402

RELATION = "api.Relation.create(database='d', schema='s', identifier='%s', type='%s')"
COLUMNS = "[api.Column.create('a', 'integer'), api.Column('b', 'character varying', 20, none, none)]"
STRATEGY = "{'unique_key': %s, 'updated_at': 'u', 'row_changed': '(x < y)', 'scd_id': 'md5(z)', 'hard_deletes': '%s'}"
MODEL = "{'config': {'quote_columns': %s, 'column_types': {}}, 'columns': {}, 'description': 'its', 'name': 'n', 'alias': 'n', 'version': none}"
TABLE, VIEW, MATVIEW = (RELATION % (n, t) for n, t in (("t", "table"), ("v", "view"), ("m", "materialized_view")))

VALUES = {
    **dict.fromkeys(("relation", "base_relation", "existing_relation", "old_relation", "from_relation", "target_relation",
                     "this_relation"), [TABLE, VIEW, MATVIEW]),
    **dict.fromkeys(("to_relation", "defer_relation", "backup_relation", "intermediate_relation"), [RELATION % ("w", "table")]),
    **dict.fromkeys(("target", "source", "from", "to"), [TABLE]),
    **dict.fromkeys(("sql", "source_sql", "select_sql", "compiled_code", "main_sql", "create_or_truncate_sql", "insert_sql"),
                    ["'select 1 as a'"]),
    **dict.fromkeys(("expression", "expr", "field", "string_text", "snapshotted_rel", "condition", "measure", "expr1", "expr2",
                     "column_name", "array", "date", "from_date_or_timestamp", "timestamp", "first_date", "second_date",
                     "array_1", "array_2", "new_element", "substring_text", "column", "name", "start_date", "end_date"),
                    ["'a'"]),
    **dict.fromkeys(("datepart",), ["'day'", "'month'", "'quarter'", "'week'", "'hour'", "'millisecond'"]),
    **dict.fromkeys(("interval", "length_expression", "part_number", "n", "upper_bound", "limit", "precision", "limit_num"),
                    ["1", "3", "-2"]),
    **dict.fromkeys(("delimiter_text", "old_chars", "new_chars"), ["\"','\""]),
    **dict.fromkeys(("fields", "field_list", "args", "inputs", "check_cols"), ["['a', 'b']"]),
    **dict.fromkeys(("insert_cols", "column_names", "grantees"), ["['a', 'b']"]),
    **dict.fromkeys(("columns", "dest_columns", "add_columns", "remove_columns"), [COLUMNS]),
    "strategy": [STRATEGY % (k, h) for k in ("'k'", "['k', 'l']") for h in ("ignore", "invalidate")],
    "unique_key": ["'k'", "['k', 'l']"],
    "identifier": ["'x'"],
    "from_identifier": ["'y'"],
    "model": [MODEL % q for q in ("none", "false")],
    "suffix": ["'__x'"],
    "dstring": ["False"],
    "new_name": ["'w'"],
    "backup_relation_type": ["'view'"],
    "index_name": ["'i'"],
    "index_dict": ["{'columns': ['a', 'b'], 'unique': true, 'type': 'hash'}"],
    "index_changes": ["[{'action': 'drop', 'context': {'name': 'i'}}, {'action': 'create', 'context': {'as_node_config': {'columns': ['a']}}}]"],
    "configuration_changes": ["{'requires_full_refresh': false, 'indexes': [{'action': 'drop', 'context': {'name': 'i'}}]}",
                              "{'requires_full_refresh': true}"],
    "privilege": ["'select'"],
    "temporary": ["true", "false"],
    "predicates": ["none", "['a > 1']"],
    "incremental_predicates": ["none", "['a > 1']"],
    "include_sql_header": ["false"],
    "type": ["'table'", "'boolean'"],
    "relation_type": ["'view'"],
    "arg_dict": ["{'target_relation': %s, 'temp_relation': %s, 'unique_key': %s, 'dest_columns': %s, 'incremental_predicates': none}"
                 % (TABLE, VIEW, k, COLUMNS) for k in ("none", "'k'")],
    "custom_schema_name": ["none", "' c '"],
    "custom_database_name": ["none", "' c '"],
    "custom_alias_name": ["none", "' c '"],
    "node": ["{'name': 'n', 'version': none}", "{'name': 'n', 'version': 1.5}"],
    "input_model_name": ["'q\"r'"],
    "volatility": ["'odd'"],
    "full_refresh_mode": ["true"],
    "data_type": ["'integer'"],
    "formatting": ["''"],
    "value": ["'v'", "1"],
    "values": ["['v', 'w']"],
    "quote": ["true", "false"],
    "description": ["'it$s'"],
    "comment": ["'it$s'"],
    "column_dict": ["{'a': {'name': 'a', 'description': 'x', 'quote': true}}"],
    "fail_calc": ["'count(*)'"],
    "warn_if": ["'> 1'"],
    "error_if": ["'!= 0'"],
    "order_by_clause": ["none", "'order by a'"],
    "limit_expr": ["none"],
    "condition_expr": ["'a'"],
    "use_quotes": ["true"],
    "format": ["'%Y'"],
    "date_str": ["'2024-02-29'"],
    "partition_date": ["'2024-02-29'"],
    "start_date_str": ["'2024-02-29'"],
    "schema_name": ["'s'"],
    "schema": ["'s'"],
    "database": ["'d'"],
}

config = RuntimeConfig.from_args(Namespace(
    project_dir=".", profiles_dir=".", profile=None, target=None, threads=1, vars={}, version_check=True,
    which="compile", macro_debugging=False, REQUIRE_RESOURCE_NAMES_WITHOUT_SPACES=False))
register_adapter(config, get_mp_context())
adapter = get_adapter(config)
node = next(n for n in manifest.nodes.values() if n.resource_type == "model")
context = providers.generate_runtime_model_context(node, config, manifest)


class Asked(BaseException):
    pass


def ask(*args, **kwargs):
    raise Asked()


type(adapter.connections).open = ask
type(adapter.connections).set_connection_name = ask
adapter.execute = adapter.get_relation = adapter.connections.get_thread_connection = ask


def calls_of(macro):
    """The calls of a macro; none if there is an argument without a value."""
    parsed = get_environment(None, capture_macros=False).parse(macro.macro_sql)
    definition = next(parsed.find_all(nodes.Macro))
    if any(call.node.name == "caller" for call in definition.find_all(nodes.Call) if isinstance(call.node, nodes.Name)):
        return []
    names = [a.name for a in definition.args]
    needed = len(names) - len(definition.defaults)
    if any(n not in VALUES for n in names[:needed]):
        return []
    found = []
    for count in sorted({needed, next((i for i, n in enumerate(names) if n not in VALUES), len(names))}):
        for given in itertools.islice(itertools.product(*(VALUES[n] for n in names[:count])), 12):
            found.append("dbt.%s(%s)" % (macro.name, ", ".join(given)))
    return found


def called(call):
    try:
        return [call, get_rendered("{{ %s }}" % call, context), None]
    except Asked:
        return None
    except Exception as e:
        return [call, None, "%s: %s" % (type(e).__name__, e)]


out = []
left_out = []
for macro in sorted(manifest.macros.values(), key=lambda m: m.name):
    if macro.package_name not in ("dbt", "dbt_postgres") or macro.name.startswith(("materialization_", "test_")):
        continue
    calls = [c for c in map(called, calls_of(macro)) if c]
    out.extend(calls)
    if not calls:
        left_out.append(macro.name)
print(json.dumps({"calls": out, "left_out": left_out}))
