#!/usr/bin/env python3
"""Entries of YAML files, right and wrong, and whether dbt takes them.

usage: entries.py

Prints a JSON list of [section, entry, why or null]. Entries are made of dbt's
own schemas: a smallest one that is right, and that with one key, at any
depth, of another type, left out or not known.
"""
import copy
import json

import dbt.cli.main  # noqa: F401
from dbt.artifacts import resources
from dbt.contracts import project
from dbt.contracts.graph import model_config, unparsed

SECTIONS = {
    "sources": (unparsed.UnparsedSourceDefinition, {}),
    "exposures": (unparsed.UnparsedExposure, {"type": "dashboard", "owner": {"name": "o"}}),
    "groups": (unparsed.UnparsedGroup, {"owner": {"name": "o"}}),
    "metrics": (unparsed.UnparsedMetric, {"label": "l", "type": "simple", "type_params": {"measure": "m"}}),
    "semantic_models": (unparsed.UnparsedSemanticModel, {"model": "ref('a')"}),
    "saved_queries": (unparsed.UnparsedSavedQuery, {"query_params": {}}),
    "unit_tests": (unparsed.UnparsedUnitTest, {"model": "a", "given": [], "expect": {"rows": []}}),
    "models": (unparsed.UnparsedModelUpdate, {}),
    "seeds": (unparsed.UnparsedNodeUpdate, {}),
    "snapshots": (unparsed.UnparsedNodeUpdate, {}),
    "analyses": (unparsed.UnparsedAnalysisUpdate, {}),
    "functions": (unparsed.UnparsedFunctionUpdate, {"returns": {"data_type": "int"}}),
    "macros": (unparsed.UnparsedMacroUpdate, {}),
    "data_tests": (unparsed.UnparsedSingularTestUpdate, {}),
    "dbt_project.yml": (project.Project, {"name": "p"}),
    "models.config": (model_config.ModelConfig, {}),
    "seeds.config": (model_config.SeedConfig, {}),
    "exposures.config": (resources.ExposureConfig, {}),
    "metrics.config": (model_config.MetricConfig, {}),
    "unit_tests.config": (model_config.UnitTestConfig, {}),
}
# What dbt adds, or changes before it validates.
ADDED = {"original_file_path": "models/x.yml", "yaml_key": "models", "package_name": "p"}
OWN = set(ADDED) | {"_extra", "loaded_at_field_present", "unrendered_database", "unrendered_schema"}
# Not of the schema alone: hooks and texts of hooks are lists by then; a test's
# own rules come first; what a package is.
OTHERS = {"on-run-start", "on-run-end", "pre-hook", "post-hook", "tests", "data_tests", "packages", "version", "config-version",
          "require-dbt-version", "snapshot_meta_column_names", "versions", "constraints", "event_time", "freshness.config", "docs",
          "meta", "contract", "group", "access", "cache", "query-comment", "project-root"}
VALUES = [None, 1, True, "x", [], ["x"], [1], {}, {"colour": "red"}, [{}], [{"name": "n", "colour": "red"}]]


def parts(schema):
    """The mappings that a value may be."""
    for one in schema.get("anyOf", schema.get("oneOf", [schema])):
        if one.get("type") == "array":
            for part in parts(one.get("items", {})):
                yield True, part[1]
        elif "properties" in one:
            yield False, one


def smallest(schema):
    if "enum" in schema:
        return schema["enum"][0]
    for one in schema.get("anyOf", [schema]):
        kind = one.get("type")
        if kind == "object":
            return {k: smallest(v) for k, v in one.get("properties", {}).items() if k in one.get("required", [])}
        if kind:
            return {"string": "x", "array": [], "integer": 1, "number": 1, "boolean": True, "null": None}[kind]
    return "x"


def variants(base, schema, depth):
    for key in schema.get("required", []):
        if key != "name" or depth > 0:
            yield {k: v for k, v in base.items() if k != key}
    yield {**base, "colour": "red"}
    for key, value in schema.get("properties", {}).items():
        if key in OWN | OTHERS or (key == "name" and depth == 0):
            continue
        for other in VALUES:
            yield {**base, key: other}
        for many, part in parts(value):
            if depth > 2:
                continue
            inner = base.get(key) if isinstance(base.get(key), dict) else smallest(part)
            for variant in variants(inner, part, depth + 1):
                yield {**base, key: [variant] if many else variant}


def why(cls, section, entry):
    data = copy.deepcopy(entry)
    if section in ("models", "seeds", "snapshots", "analyses", "functions", "macros", "data_tests"):
        data.update(ADDED)
    if section.endswith(".config"):
        data = {**cls().to_dict(omit_none=False), **data}
        for key in ("tags",):
            if key in data and not isinstance(data[key], list):
                data[key] = [data[key]]
    try:
        cls.validate(data)
    except Exception as error:
        return str(getattr(error, "message", error))
    return None


def main():
    out, seen = [], set()
    for section, (cls, more) in SECTIONS.items():
        base = more if "." in section else {"name": "a", **more}
        schema = json.loads(json.dumps(cls.json_schema()))
        for entry in [base, *variants(base, schema, 0)]:
            text = json.dumps([section, entry])
            if text not in seen:
                seen.add(text)
                out.append([section, entry, why(cls, section, entry)])
    print(json.dumps(out))


if __name__ == "__main__":
    main()
