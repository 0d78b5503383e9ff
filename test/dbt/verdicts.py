#!/usr/bin/env python3
"""What dbt says of small projects when it parses them.

usage: verdicts.py < CASES

CASES is a JSON list of objects of files by path; what is printed last is a JSON list
with {"error": text or null, "warnings": [[name, text], ...]} for each. Keys
that dbt does not know are looked for as it does with the databases of its own
vendors: with others it keeps silent about most of them.
"""
import json
import multiprocessing
import os
import sys
import tempfile

from dbt import deprecations
from dbt.cli.main import dbtRunner
from dbt.jsonschemas import jsonschemas

PROFILE = {"target": "dev", "outputs": {"dev": {
    "type": "postgres", "host": "localhost", "port": 1, "user": "u", "password": "x", "dbname": "d", "schema": "s", "threads": 1}}}

jsonschemas._can_run_validations = lambda: True


def verdict(top, files):
    for path, text in files.items():
        path = os.path.join(top, path)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    with open(os.path.join(top, "profiles.yml"), "w", encoding="utf-8") as f:
        json.dump({"p": PROFILE}, f)
    if "dbt_project.yml" not in files:
        with open(os.path.join(top, "dbt_project.yml"), "w", encoding="utf-8") as f:
            f.write("name: p\nversion: '1.0'\nprofile: p\n")
    warnings = []

    def note(event):
        if event.info.level == "warn" and event.info.name != "DeprecationsSummary":
            warnings.append([event.info.name, event.info.msg])

    deprecations.active_deprecations.clear()
    result = dbtRunner(callbacks=[note]).invoke(["--quiet", "--no-use-colors", "--show-all-deprecations", "parse", "--no-partial-parse",
                                                 "--project-dir", top, "--profiles-dir", top, "--profile", "p"])
    nodes = None
    if result.success:
        with open(os.path.join(top, "target", "manifest.json"), encoding="utf-8") as f:
            manifest = json.load(f)
        nodes = sorted(k for part in ("nodes", "sources", "exposures", "metrics", "groups", "semantic_models", "saved_queries",
                                      "unit_tests", "functions") for k in manifest.get(part, {}))
    return {"error": None if result.success else str(result.exception), "warnings": warnings, "nodes": nodes}


def verdict_of(files):
    with tempfile.TemporaryDirectory() as top:
        return verdict(top, files)


def main():
    # What dbt has loaded, workers have, too.
    with multiprocessing.get_context("fork").Pool() as workers:
        print(json.dumps(workers.map(verdict_of, json.load(sys.stdin), chunksize=4)))


if __name__ == "__main__":
    main()
