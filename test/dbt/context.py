#!/usr/bin/env python3
"""Print what templates of dbt find, as JSON: names in each kind of context,
members of adapter, exceptions, modules and the like, and dbt's own macros.

usage: context.py PROJECT_DIR

The project needs a model; its profile is asked for no connection.
"""
import json
import os
import sys
from argparse import Namespace

os.chdir(sys.argv[1])

from dbt.cli.main import dbtRunner  # noqa: E402

manifest = dbtRunner().invoke(["--quiet", "parse", "--no-partial-parse"]).result

from dbt.adapters.factory import get_adapter, register_adapter  # noqa: E402
from dbt.config import RuntimeConfig  # noqa: E402
from dbt.context import configured, providers  # noqa: E402
from dbt.mp_context import get_mp_context  # noqa: E402

config = RuntimeConfig.from_args(Namespace(
    project_dir=".", profiles_dir=".", profile=None, target=None, threads=1, vars={}, version_check=True,
    which="compile", macro_debugging=False, REQUIRE_RESOURCE_NAMES_WITHOUT_SPACES=False))
register_adapter(config, get_mp_context())
adapter = get_adapter(config)
node = next(n for n in manifest.nodes.values() if n.resource_type == "model")
context = providers.generate_runtime_model_context(node, config, manifest)
macros = {m.name for m in manifest.macros.values()}


def members(value):
    return sorted(k for k in dir(value) if not k.startswith("_"))


print(json.dumps({
    "model": sorted(k for k in context if k not in macros),
    "yaml": sorted(configured.generate_schema_yml_context(config, config.project_name, None)),
    "builtins": sorted(context["builtins"]),
    "adapter": sorted(set(adapter._available_) | set(members(context["adapter"]))),
    "exceptions": sorted(context["exceptions"]),
    "target": sorted(context["target"]),
    "flags": sorted(vars(context["flags"])),
    "config": members(context["config"]),
    "var": members(context["var"]),
    "api": sorted(context["api"]),
    "modules": sorted("%s.%s" % (k, m) for k, v in context["modules"].items() for m in v),
    "macros": sorted({m.name for m in manifest.macros.values() if m.package_name in ("dbt", "dbt_postgres")}),
}))
