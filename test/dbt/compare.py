#!/usr/bin/env python3
"""Compare what dpipe makes of a dbt project with what dbt makes of it.

usage: compare.py [--compile] [--target T] [--schema S] [--vars JSON] PROJECT_DIR -- PSQL_ARGS...

Loads the project's files (packages in dbt_packages included) with
dpipe_load_files(), runs "dbt parse" on a copy of the directory, and prints every
difference between the manifests of the two that is not listed in artifacts.py.
With --compile, so are the texts of models, snapshots, analyses and singular
tests, whitespace folded. What they select is compared by "select".
Exits with 1 when there is a difference.

Needs dbt-core and dbt-postgres in this Python, psql, and a server that has the
extension. To compile, dbt connects to it as PGHOST, PGPORT and PGUSER say.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

from artifacts import compare_manifests

ENDINGS = (".sql", ".yml", ".yaml", ".csv", ".md", ".dbtignore")


def project_files(top):
    files = {}
    for folder, dirs, names in os.walk(top, followlinks=True):
        dirs[:] = [d for d in dirs if d not in (".git", "target", "logs", "dbt_internal_packages")]
        for name in names:
            if name.endswith(ENDINGS):
                path = os.path.relpath(os.path.join(folder, name), top)
                if path.count("dbt_packages/") > 1:
                    continue
                with open(os.path.join(folder, name), "rb") as f:
                    files[path] = f.read().decode("utf-8" if name.endswith(".csv") else "utf-8-sig", "replace")
    return files


def psql(args, script):
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"] + args, input=script,
                         text=True, capture_output=True)
    if run.returncode != 0:
        sys.exit("psql failed: " + run.stderr[-3000:])
    return run


def dollar(text):
    tag = "x"
    while "$" + tag + "$" in text:
        tag += "x"
    return "$%s$%s$%s$" % (tag, text, tag)


def profile(top, database, schema, target):
    with open(os.path.join(top, "dbt_project.yml")) as f:
        for line in f:
            if line.startswith("profile:"):
                name = line.split(":", 1)[1].split("#")[0].strip().strip("'\"")
                break
        else:
            name = "default"
    return json.dumps({name: {"target": target, "outputs": {target: {
        "type": "postgres", "host": os.environ.get("PGHOST", "localhost"), "port": int(os.environ.get("PGPORT", 5432)),
        "user": os.environ.get("PGUSER", "postgres"), "password": "", "dbname": database, "schema": schema, "threads": 1}}}})


class Report:
    def __init__(self, show):
        self.show = show
        self.n = 0

    def differ(self, what, want, got):
        self.n += 1
        if self.n <= self.show:
            print("%s\n    dbt:   %s\n    dpipe: %s" % (what, json.dumps(want)[:400], json.dumps(got)[:400]))


def dbt(args, work):
    """Let dbt parse the project; with --compile, its texts."""
    script = '''
import json, shutil, sys
from dbt.cli.main import dbtRunner
common = ["--quiet", "--no-send-anonymous-usage-stats"]
parsed = dbtRunner().invoke(common + ["parse"] + sys.argv[1:])
if not parsed.success:
    sys.exit("dbt parse failed: %s" % (parsed.exception or parsed.result))
target = sys.argv[sys.argv.index("--target-path") + 1]
shutil.copy(target + "/manifest.json", target + "/parsed.json")
if "COMPILE" in sys.stdin.readline():
    compiled = dbtRunner(manifest=parsed.result).invoke(common + ["compile"] + sys.argv[1:])
    if not compiled.success:
        sys.exit("dbt compile failed: %s" % (compiled.exception or [r.message for r in compiled.result if r.message]))
    texts = {r.node.unique_id: r.node.compiled_code for r in compiled.result if hasattr(r.node, "compiled_code")}
    print("COMPILED " + json.dumps(texts))
'''
    command = [sys.executable, "-W", "ignore", "-c", script, "--project-dir", args.project, "--profiles-dir", work,
               "--target-path", work + "/target", "--log-path", work + "/logs", "--vars", args.vars]
    env = dict(os.environ, DBT_SEND_ANONYMOUS_USAGE_STATS="0", DO_NOT_TRACK="1", DBT_VERSION_CHECK="0")
    run = subprocess.run(command, text=True, capture_output=True, env=env,
                         input="COMPILE\n" if args.compile else "NOTHING\n")
    if run.returncode != 0:
        sys.exit("dbt failed: " + (run.stdout + run.stderr)[-3000:])
    texts = [json.loads(line[9:]) for line in run.stdout.split("\n") if line.startswith("COMPILED ")]
    return texts[0] if texts else {}


def compare_texts(report, args, texts, ours, name):
    """What nodes compile to; generic tests are not compiled yet."""
    ids = [id for id in sorted(texts) if id in ours and not ours[id].get("test_metadata")
           and texts[id] is not None and ours[id]["resource_type"] in ("model", "test", "analysis", "snapshot")]
    script = "SET client_min_messages = error;\nCREATE FUNCTION pg_temp.sql(id text) RETURNS jsonb LANGUAGE plpgsql AS $$\n" \
        "BEGIN RETURN jsonb_build_array(dpipe_compile(id, options => jsonb_build_object('project', %s::text)));\n" \
        "EXCEPTION WHEN OTHERS THEN RETURN to_jsonb(SQLERRM); END $$;\n" % dollar(name).replace("$x$", "'")
    script += "".join("SELECT pg_temp.sql(%s);\n" % dollar(id) for id in ids)
    for id, line in zip(ids, [line for line in psql(args.psql, script).stdout.split("\n") if line]):
        got = json.loads(line)
        if isinstance(got, str) or " ".join(texts[id].split()) != " ".join(got[0].split()):
            report.differ("%s: compiled text" % id, " ".join(texts[id].split()), got if isinstance(got, str) else " ".join(got[0].split()))
    return len(ids)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("project")
    parser.add_argument("--target", default="default")
    parser.add_argument("--schema", default="public")
    parser.add_argument("--vars", default="{}")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--show", type=int, default=40)
    parser.add_argument("--keep")
    parser.add_argument("psql", nargs="*")
    args = parser.parse_args()
    report = Report(args.show)
    database = psql(args.psql, "SELECT current_database()").stdout.strip()
    work = args.keep or tempfile.mkdtemp(prefix="dbt.")
    os.makedirs(work, exist_ok=True)
    try:
        with open(work + "/profiles.yml", "w") as f:
            f.write(profile(args.project, database, args.schema, args.target))
        files = project_files(args.project)
        options = {"target": args.target, "schema": args.schema, "vars": json.loads(args.vars)}
        psql(args.psql, "SET client_min_messages = error; SELECT count(*) FROM dpipe_load_files(%s, %s);\n"
             % (dollar(json.dumps(files)), dollar(json.dumps(options))))
        texts = dbt(args, work)
        with open(work + "/target/parsed.json") as f:
            manifest = json.load(f)
        name = manifest["metadata"]["project_name"]
        ours = json.loads(psql(args.psql, "SELECT dpipe_manifest(%s);" % dollar(json.dumps({"project": name}))).stdout)
        n = compare_manifests(report, manifest, ours)
        m = compare_texts(report, args, texts, ours["nodes"], name)
        print("%d entries of the manifest, %d compiled texts, %d differences" % (n, m, report.n))
    finally:
        if not args.keep:
            shutil.rmtree(work)
    return 1 if report.n else 0


if __name__ == "__main__":
    sys.exit(main())
