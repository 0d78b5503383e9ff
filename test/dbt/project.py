"""A dbt project, the dbt that runs it and the database that dpipe is in: what
compile, manifest and select have in common.
"""
import json
import os
import re
import shutil
import subprocess
import sys

WANTED = "1.11.16"
ENDINGS = (".sql", ".yml", ".yaml", ".csv", ".md", ".dbtignore")
SKIPPED = {".git", "dbt_internal_packages"}
WRITTEN = {"target", "logs"}

OPTIONS = """
  --dbt DBT             dbt, or a Python that has it; without it DPIPE_DBT_PYTHON,
                        what test/lib/dbt_fetch.sh has made, or dbt on the PATH
  --profiles-dir DIR    where profiles.yml is; without it, where dbt looks
  --target T            a target of the profile
  --vars YAML           as dbt's
  --make-profile        make a profile of PSQL_ARGS even if there is one
  --schema S            of a profile that is made; default "dbt"

PSQL_ARGS reach the database that dpipe is in, as psql takes them. It is that of
the project's profile, and they need not be given when the profile's host, port
and user reach it. Where no profile is the project's, one is made of PSQL_ARGS.
What the project asks of env_var() is found in the environment, for both.

Exits with 0 when all is the same, 1 when something differs, 2 when the two
cannot be compared.
"""

# The profile that dbt would use.
PROFILE_SCRIPT = r'''
import json, sys
import yaml
from dbt.version import __version__
request = json.load(sys.stdin)
from argparse import Namespace
from dbt.flags import set_from_args
set_from_args(Namespace(PROFILES_DIR=request["folder"], PROJECT_DIR=request["project"]), None)
from dbt.config.runtime import load_profile
answer = {"version": __version__}
try:
    answer["vars"] = yaml.safe_load(request["vars"]) or {}
    profile = load_profile(request["project"], answer["vars"], request["name"], request["target"])
    answer.update(name=profile.profile_name, target=profile.target_name, threads=profile.threads, type=profile.credentials.type)
    answer.update({k: getattr(profile.credentials, k, None) for k in ("host", "port", "user", "password", "database", "schema")})
except Exception as e:
    answer["error"] = str(e)
print("PROFILE " + json.dumps(answer))
'''


def give_up(text):
    print("%s: %s" % (os.path.basename(sys.argv[0]), text), file=sys.stderr)
    sys.exit(2)


def dollar(text):
    tag = "x"
    while "$" + tag + "$" in text:
        tag += "x"
    return "$%s$%s$%s$" % (tag, text, tag)


def project_files(top):
    """What dpipe_load_files() takes; a package may be a link to what is around it."""
    files = {}
    for folder, dirs, names in os.walk(top, followlinks=True):
        inside = os.path.relpath(folder, top).split(os.sep)
        written = WRITTEN if "dbt_project.yml" in names else set()
        dirs[:] = [d for d in dirs if d not in SKIPPED | written and not (d == "dbt_packages" and "dbt_packages" in inside)]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(ENDINGS) and os.path.isfile(path):
                with open(path, "rb") as f:
                    files[os.path.relpath(path, top)] = f.read().decode("utf-8" if name.endswith(".csv") else "utf-8-sig", "replace")
    return files


def python_of(dbt):
    """The Python that runs a dbt: the script's first line names it."""
    try:
        with open(dbt, "rb") as f:
            first = f.readline(500)
    except OSError as e:
        give_up("%s: %s" % (dbt, e.strerror))
    if first.startswith(b"#!"):
        return first[2:].decode("utf-8", "replace").split()[0]
    return dbt


def find_python(given):
    """A Python that can import dbt-core and dbt-postgres."""
    cache = os.environ.get("DPIPE_CACHE") or ("/var/cache/dpipe" if os.geteuid() == 0 else os.path.expanduser("~/.cache/dpipe"))
    candidates = [given] if given else [
        os.environ.get("DPIPE_DBT_PYTHON"), os.path.join(cache, "dbt-" + WANTED, "bin", "python"), shutil.which("dbt"), sys.executable]
    for candidate in filter(None, candidates):
        if not os.path.exists(candidate):
            candidate = shutil.which(candidate) or candidate
        if given or os.path.exists(candidate):
            python = python_of(candidate)
            test = subprocess.run([python, "-W", "ignore", "-c", "import dbt.cli.main, dbt.adapters.postgres"], capture_output=True, text=True) \
                if os.path.exists(python) else None
            if test is not None and test.returncode == 0:
                return python
    give_up("%s has no dbt-core with dbt-postgres.\n" % given if given else
            "there is no dbt: \"pip install dbt-core==%s dbt-postgres==1.11.0\" and name it with --dbt, or run test/lib/dbt_fetch.sh." % WANTED)


def dbt_environment():
    return dict(os.environ, DBT_SEND_ANONYMOUS_USAGE_STATS="0", DO_NOT_TRACK="1", DBT_VERSION_CHECK="0", PYTHONWARNINGS="ignore")


class Psql:
    def __init__(self, arguments, password=None):
        self.arguments = arguments
        self.env = dict(os.environ)
        if password:
            self.env["PGPASSWORD"] = str(password)

    def answer(self, script, doing):
        try:
            run = subprocess.run(["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"] + self.arguments,
                                 input="SET client_min_messages = error;\n" + script, text=True, capture_output=True, env=self.env)
        except FileNotFoundError:
            give_up("there is no psql on the PATH.")
        if run.returncode != 0:
            give_up("%s failed:\n%s" % (doing, run.stderr[-3000:].strip()))
        return run.stdout

    def lines(self, script, doing):
        return [line for line in self.answer(script, doing).split("\n") if line]


class Project:
    """The project that the arguments name; "work" is a directory to write to."""

    def __init__(self, args, work):
        self.path, self.vars, self.target = os.path.abspath(args.project), args.vars, args.target
        if not os.path.exists(os.path.join(self.path, "dbt_project.yml")):
            give_up("%s has no dbt_project.yml." % self.path)
        self.python = find_python(args.dbt)
        self.folder = None if args.make_profile else self.profiles_dir(args.profiles_dir)
        # A package may name no profile.
        self.name = "default" if self.folder is None and not self.key("profile") else None
        if self.folder is None:
            if not args.psql:
                give_up("no profiles.yml has the profile \"%s\" of this project: give --profiles-dir, or PSQL_ARGS to make one."
                        % (self.key("profile") or "default"))
            self.folder = work
            self.make_profile(Psql(args.psql), args.schema, work)
        self.profile = self.load_profile()
        self.psql = Psql(args.psql) if args.psql else Psql(
            ["-h", self.profile["host"], "-p", str(self.profile["port"]), "-U", self.profile["user"], "-d", self.profile["database"]],
            self.profile["password"])
        self.check_database()
        self.common = ["--profiles-dir", self.folder, "--log-path", os.path.join(work, "logs"), "--vars", self.vars]
        self.common += ["--target", self.target] if self.target else []
        self.common += ["--profile", self.name] if self.name else []

    def key(self, key):
        with open(os.path.join(self.path, "dbt_project.yml")) as f:
            found = re.search(r"^%s\s*:\s*['\"]?([\w.-]+)" % key, f.read(), re.M)
        return found.group(1) if found else None

    def profiles_dir(self, given):
        """Where dbt would find profiles.yml; None: nowhere, or not this profile."""
        name = self.key("profile") or "default"
        for folder in [given] if given else [os.environ.get("DBT_PROFILES_DIR"), os.getcwd(), self.path, os.path.expanduser("~/.dbt")]:
            path = os.path.join(folder, "profiles.yml") if folder else None
            if path and os.path.exists(path):
                with open(path) as f:
                    return os.path.abspath(folder) if re.search(r"^['\"]?%s['\"]?\s*:" % re.escape(name), f.read(), re.M) else None
        return None

    def make_profile(self, psql, schema, folder):
        """A profile that goes where psql goes."""
        host, port, user, database = psql.answer("\\echo :HOST\n\\echo :PORT\n\\echo :USER\n\\echo :DBNAME\n", "connecting").strip("\n").split("\n")
        target = self.target or "default"
        with open(os.path.join(folder, "profiles.yml"), "w") as f:
            json.dump({self.key("profile") or "default": {"target": target, "outputs": {target: {
                "type": "postgres", "host": host, "port": int(port), "user": user, "password": os.environ.get("PGPASSWORD", ""),
                "dbname": database, "schema": schema, "threads": 4}}}}, f)

    def load_profile(self):
        request = {"folder": self.folder, "project": self.path, "vars": self.vars, "target": self.target, "name": self.name}
        run = subprocess.run([self.python, "-W", "ignore", "-c", PROFILE_SCRIPT], input=json.dumps(request), text=True,
                             capture_output=True, env=dbt_environment())
        said = [line for line in run.stdout.split("\n") if line.startswith("PROFILE ")]
        if not said:
            give_up("dbt failed:\n" + (run.stdout + run.stderr)[-3000:])
        profile = json.loads(said[0][8:])
        if "error" in profile:
            give_up("the profile cannot be read: %s\n(--make-profile makes one of PSQL_ARGS.)" % profile["error"])
        if profile["type"] != "postgres":
            give_up("the profile's target \"%(target)s\" is of type \"%(type)s\", not postgres: see --target, or --make-profile." % profile)
        if not profile["version"].startswith(WANTED.rsplit(".", 1)[0] + "."):
            print("note: this is dbt %s; dpipe follows %s" % (profile["version"], WANTED))
        return profile

    def check_database(self):
        database = self.psql.answer("SELECT current_database();", "connecting").strip()
        if database != self.profile["database"]:
            give_up("the profile's database is \"%s\", that of PSQL_ARGS \"%s\": they must be one." % (self.profile["database"], database))
        if self.psql.answer("SELECT count(*) FROM pg_extension WHERE extname = 'dpipe';", "looking for dpipe").strip() == "0":
            give_up("database \"%s\" has no dpipe: CREATE EXTENSION dpipe." % database)

    def load_script(self, path=None, name=None):
        """SQL that loads the files of a directory, as a project of that name; one row."""
        files = project_files(path or self.path)
        # What env_var() finds, of the names that the project asks for, and what goes into manifests.
        names = set(re.findall(r"env_var\(\s*['\"](\w+)", "\n".join(files.values())))
        names |= {name for name in os.environ if name.startswith("DBT_ENV_CUSTOM_ENV_")}
        options = {"schema": self.profile["schema"], "target": self.profile["target"], "threads": self.profile["threads"],
                   "vars": self.profile["vars"], "env": {name: os.environ[name] for name in names if name in os.environ}}
        if name:
            options["project"] = name
        return "SELECT count(*) FROM dpipe_load_files(%s, %s);\n" % (dollar(json.dumps(files)), dollar(json.dumps(options, default=str)))


def add_arguments(parser):
    parser.add_argument("--dbt")
    parser.add_argument("--profiles-dir")
    parser.add_argument("--target")
    parser.add_argument("--make-profile", action="store_true")
    parser.add_argument("--schema", default="dbt")
    parser.add_argument("--vars", default="{}")
    parser.add_argument("project")
    parser.add_argument("psql", nargs="*")


class Report:
    def __init__(self, show):
        self.show = show
        self.n = 0

    def differ(self, what, want, got):
        self.n += 1
        if self.n <= self.show:
            print("%s\n    dbt:   %s\n    dpipe: %s" % (what, json.dumps(want)[:400], json.dumps(got)[:400]))
        elif self.n == self.show + 1:
            print("... and more: --show N")
