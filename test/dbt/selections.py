"""Selections that hold something of a project, made of the names in its manifest.

generate(manifest) gives lines as the files *.selections have them: what stands
behind --select of dbt ls, or options of it. Names are taken evenly from the
sorted list of those that there are, so that two runs give the same lines.
"""
import shlex

KINDS = ["nodes", "sources", "exposures", "metrics", "semantic_models", "saved_queries", "unit_tests", "functions"]


def some(names, n):
    """At most n of the names, spread over all of them."""
    names = sorted(set(name for name in names if name))
    if len(names) <= n:
        return names
    return [names[i * (len(names) - 1) // (n - 1) if n > 1 else 0] for i in range(n)]


def plain(name):
    """Can the name stand in a line without being taken for an operator?"""
    return not set(str(name)) & set(" ,+@:'\"\\{}\n\t")


class Project:
    def __init__(self, manifest):
        self.root = manifest["metadata"]["project_name"]
        self.all = [node for kind in KINDS for node in manifest.get(kind, {}).values()]
        self.children = manifest["child_map"]
        self.selectors = sorted(manifest.get("selectors", {}))

    def of(self, *kinds):
        return [n for n in self.all if n["resource_type"] in kinds]

    def inner(self):
        """Names of what has parents and children."""
        return [n["name"] for n in self.of("model", "snapshot") if n.get("depends_on", {}).get("nodes")
                and any(not child.startswith(("test.", "unit_test.")) for child in self.children.get(n["unique_id"], []))]


def names(p):
    models = [n["name"] for n in p.of("model") if plain(n["name"])]
    lines = some(models, 4) + some([n["name"] for n in p.of("seed", "snapshot")], 3)
    for name in some(p.inner() or models, 3):
        lines += ["+" + name, name + "+", "+%s+" % name, "1+" + name, name + "+1", "2+%s+3" % name, "@" + name,
                  "0+" + name, name + "+0"]
    for name in some([n["name"] for n in p.of("test") if plain(n["name"])], 4):
        lines += [name, "+" + name]
    for name in some(models, 3):
        middle = max(len(name) // 2, 1)
        lines += [name[:middle] + "*", "*" + name[middle:], name[:-1] + "?", "[%s]%s" % (name[0], name[1:]),
                  "[!%s]*" % name[0], name.upper(), "*%s*+1" % name[middle:middle + 3]]
    for fqn in some([".".join(n["fqn"]) for n in p.of("model", "seed", "snapshot", "test") if plain("".join(n["fqn"]))], 4):
        parts = fqn.split(".")
        lines += ["fqn:" + fqn, ".".join(parts[1:]), ".".join(parts[:2]), ".".join(parts[:-1]) + ".*",
                  ".".join(parts[:1] + ["*"] + parts[-1:]), "fqn:%s.*.*" % parts[0], parts[0]]
    if models:
        lines += [" ".join(some(models, 3)), "%s,+%s" % (models[0], models[0]), "%s,nothing_of_the_name" % models[0],
                  "nothing_of_the_name", "*", "fqn:*", "resource_type:model,+%s" % models[-1],
                  "%s+,test_type:generic" % models[0], "@%s,resource_type:model %s" % (models[0], models[-1])]
    return lines


def versions(p):
    lines = ["version:latest", "version:none", "version:old", "version:prerelease"]
    for n in some([n["unique_id"] for n in p.of("model") if n.get("version") is not None], 2):
        name, version = n.rsplit(".", 2)[1:]
        lines += [name, "%s.%s" % (name, version), "%s_%s" % (name, version), "%s.%s+" % (name, version), name + ".*"]
    return lines


def paths(p):
    own = [n["original_file_path"] for n in p.all if n["package_name"] == p.root and n["resource_type"] != "operation"]
    lines = []
    for path in some([path for path in own if plain(path)], 5):
        folder, name = path.rsplit("/", 1) if "/" in path else ("", path)
        stem, ending = name.rsplit(".", 1)
        lines += ["path:" + path, path, "file:" + name, "file:" + stem, "file:%s*" % stem[:3], "path:%s/*.%s" % (folder, ending),
                  "path:" + folder, folder + "/", "path:%s/**/*.%s" % (path.split("/")[0], ending), name,
                  "path:*/" + name, "path:./" + path, "path:**/" + name, "+path:" + path]
    for folder in some([path.split("/")[0] for path in own], 6):
        lines += [folder + "/*", "path:%s+1" % folder]
    for path in some([n["patch_path"].split("://")[1] for n in p.all if n.get("patch_path")], 2):
        lines += ["path:" + path]
    if p.of("operation"):
        lines += ["+path:dbt_project.yml", "dbt_project.yml+"]
    return lines


def sources(p):
    lines = ["source:*"]
    for n in some(["%s %s %s" % (n["package_name"], n["source_name"], n["name"]) for n in p.of("source")], 3):
        package, source, table = n.split(" ")[:3]
        lines += ["source:" + source, "source:%s.%s" % (source, table), "source:%s.%s+" % (source, table),
                  "source:%s.%s.%s+1" % (package, source, table), "source:%s*" % source[:2], "source:*.%s" % table,
                  "@source:%s.%s" % (source, table), "source:%s,resource_type:source" % source, "source:a.b.c.d"]
    return lines


def labels(p):
    """Tags, groups, access, packages, kinds."""
    lines = []
    for tag in some([str(tag) for n in p.all for tag in n.get("tags") or []], 5):
        if plain(tag):
            lines += ["tag:" + tag, "+tag:" + tag, "tag:%s*" % tag[:2], "tag:%s,resource_type:model" % tag]
    for group in some([n.get("group") for n in p.all if isinstance(n.get("group"), str)], 3):
        lines += ["group:" + group, "group:%s*+" % group[0]]
    lines += ["access:" + access for access in ("public", "protected", "private")]
    lines += ["package:this", "package:*", "package:" + p.root, "package:this,resource_type:model"]
    lines += ["package:" + name for name in some([n["package_name"] for n in p.all], 4)]
    for kind in ("model", "test", "seed", "snapshot", "source", "exposure", "metric", "semantic_model", "saved_query",
                 "unit_test", "analysis", "function"):
        lines += ["resource_type:" + kind, "--resource-type " + kind]
    lines += ["resource_type:macro", "resource_type:nonsense"]
    lines += ["--exclude-resource-type " + kind for kind in ("test", "model", "unit_test", "source")]
    lines += ["--resource-type model --resource-type source", "--resource-type all", "--resource-type default",
              "--resource-type all --exclude-resource-type test"]
    for kind in ("exposure", "metric", "semantic_model", "saved_query", "unit_test"):
        lines += ["%s:*" % kind, "+%s:*" % kind]
        for n in some(["%s %s" % (n["package_name"], n["name"]) for n in p.of(kind) if plain(n["name"])], 2):
            package, name = n.split(" ")
            lines += ["%s:%s" % (kind, name), "+%s:%s" % (kind, name), "1+%s:%s.%s" % (kind, package, name)]
        lines.append("%s:a.b.c" % kind)
    return lines


def tests(p):
    lines = ["test_type:" + kind for kind in ("generic", "singular", "unit", "data", "schema", "nonsense")]
    for name in some([(n.get("test_metadata") or {}).get("name") for n in p.of("test")], 4):
        lines += ["test_name:" + name, "test_name:%s*" % name[:3], "+test_name:" + name]
    return lines


def configs(p):
    lines = ["config.enabled:true", "config.enabled:False", "config.severity:error", "config.severity:WARN", "config.nothing:1",
             "config.contract.enforced:false", "config.full_refresh:none", "config:x"]
    values = {}

    def collect(path, value, depth=0):
        if isinstance(value, dict) and depth < 4:
            for key, part in value.items():
                collect(path + [str(key)], part, depth + 1)
        elif isinstance(value, list):
            for part in value:
                if isinstance(part, (str, int)):
                    collect(path, part, 9)
        elif isinstance(value, (str, int)) and value is not None and len(str(value)) < 60 and plain(value) and str(value):
            values.setdefault(".".join(path), set()).add(str(value))

    for n in p.all:
        collect(["config"], n.get("config") or {})
    for path in sorted(path for path in values if plain(path)):
        lines += ["%s:%s" % (path, value) for value in some(values[path], 2)]
    return lines[:60]


def options(p):
    models = some([n["name"] for n in p.of("model") if plain(n["name"])], 3)
    inner = some(p.inner(), 2) or models
    lines = []
    for name in inner:
        lines += ["--exclude %s" % name, "--exclude %s+" % name, "--select +%s --exclude %s" % (name, name),
                  "--select @%s --exclude 'resource_type:test package:nothing'" % name, "--exclude source:* --select +%s+" % name,
                  "--select %s+ --exclude %s+1,test_type:generic" % (name, name)]
        for mode in ("eager", "cautious", "buildable", "empty"):
            lines += ["--select %s --indirect-selection %s" % (name, mode), "--select +%s --indirect-selection %s" % (name, mode),
                      "--select '%s' --indirect-selection %s" % (" ".join(inner), mode),
                      "--exclude %s --indirect-selection %s" % (name, mode)]
    for mode in ("eager", "cautious", "buildable", "empty"):
        lines += ["--indirect-selection " + mode, "--select tag:* --indirect-selection " + mode,
                  "--select test_type:generic --indirect-selection " + mode, "--select source:* --indirect-selection " + mode]
    lines += ["--selector " + name for name in p.selectors] + ["--selector nothing_of_the_name"]
    return lines


def generate(manifest):
    p = Project(manifest)
    lines = []
    for part in (names, versions, paths, sources, labels, tests, configs, options):
        lines += part(p)
    return list(dict.fromkeys(lines))


def history():
    """Selections that compare with another version of the project, and with results."""
    values = ["new", "old", "modified", "unmodified", "modified.body", "modified.configs", "modified.relation",
              "modified.persisted_descriptions", "modified.macros", "modified.contract"]
    lines = ["state:" + value for value in values] + ["state:%s+" % value for value in values] + ["1+state:" + value for value in values]
    lines += ["state:modified,resource_type:model", "state:modified+ --exclude state:new", "state:modified,config.materialized:table+",
              "--select state:modified --indirect-selection cautious", "--exclude state:modified", "state:nonsense",
              "--select state:modified --resource-type model", "@state:new", "state:old state:new"]
    lines += ["result:" + status for status in ("success", "error", "fail", "warn", "skipped", "pass", "nonsense")]
    lines += ["result:error+ state:modified+", "1+result:fail", "result:error,resource_type:model", "source_status:fresher",
              "source_status:fresher+", "source_status:stale"]
    return ["--select " + line if " --" in line and not line.startswith("--") else line for line in lines]


def run_results(manifest):
    """What a run could have made of the nodes."""
    statuses = {"test": ["pass", "fail", "warn", "error", "skipped"], "unit_test": ["pass", "fail", "error"]}
    results = []
    for i, (id, node) in enumerate(sorted(list(manifest["nodes"].items()) + list(manifest["unit_tests"].items()))):
        choice = statuses.get(node["resource_type"], ["success", "error", "skipped"])
        results.append({"unique_id": id, "status": choice[i % len(choice)], "timing": [], "thread_id": "Thread-1", "execution_time": 0.1,
                        "adapter_response": {}, "message": None, "failures": None, "compiled": True, "compiled_code": None,
                        "relation_name": None, "batch_results": None})
    return {"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/run-results/v6.json"}, "results": results,
            "elapsed_time": 1.0, "args": {}}


def sources_json(manifest, day, without):
    """Freshness of sources on a day; each third one fails, some were not known."""
    results = []
    for i, id in enumerate(sorted(manifest["sources"])):
        if i % 4 == without:
            continue
        result = {"unique_id": id, "status": "pass", "max_loaded_at": "2024-01-0%dT00:00:00Z" % (day if i % 2 else 1),
                  "snapshotted_at": "2024-01-09T00:00:00Z", "max_loaded_at_time_ago_in_s": 1.0,
                  "criteria": {"warn_after": {"count": 1, "period": "day"}, "error_after": {"count": None, "period": None}, "filter": None},
                  "adapter_response": {}, "timing": [], "thread_id": "Thread-1", "execution_time": 0.1}
        results.append(result)
    return {"metadata": {"dbt_schema_version": "https://schemas.getdbt.com/dbt/sources/v3.json"}, "results": results, "elapsed_time": 1.0}


def words(line):
    """The arguments of dbt ls."""
    return shlex.split(line) if line.startswith("--") else ["--select", line]
