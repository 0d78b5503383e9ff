"""Compare manifests and catalogs of dpipe with those of dbt.

Every difference counts but those listed here, each with its reason.
"""

# Fields that say when, by whom and where an artifact was made.
MASKED = {"created_at", "root_path", "generated_at", "invocation_id", "invocation_started_at", "run_started_at"}

# Lists whose order says nothing: dbt makes them of sets, or in the order in which files happen to be read.
UNORDERED = {"macros", "nodes", "tags", "primary_key"}

# dbt's own macros: dpipe has others of the same names, all of them in package "dbt".
OWN_MACROS = ("macro.dbt.", "macro.dbt_postgres.")

# The page that dbt docs begins with.
OWN_DOCS = {"doc.dbt.__overview__"}


def prepared(manifest, ours):
    """Without what cannot be equal; "ours" has the names of dpipe's macros."""
    manifest = dict(manifest)
    manifest["docs"] = {k: v for k, v in manifest["docs"].items() if k not in OWN_DOCS}
    macros = {}
    for key, macro in manifest["macros"].items():
        if key.startswith(OWN_MACROS):
            continue
        # Of dbt's own macros a project's macro can call only those that dpipe has.
        calls = [call.replace("macro.dbt_postgres.", "macro.dbt.") for call in macro["depends_on"]["macros"]]
        calls = [call for call in calls if not call.startswith("macro.dbt.") or call in ours]
        macros[key] = dict(macro, depends_on={"macros": calls})
    manifest["macros"] = macros
    return manifest


def is_path_of_seed(want, got):
    """Of a seed above 1 MiB dbt knows the path alone, dpipe the content."""
    return isinstance(want, dict) and isinstance(got, dict) and set(want) == {"name", "checksum"} and want["name"] == "path" and got.get("name") == "sha256"


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def tidy_list(path, value):
    if path and (path[-1] in UNORDERED or path[0] == "group_map"):
        return sorted(value, key=str)
    if path and path[0] == "disabled" and len(path) == 2:
        return sorted(value, key=lambda node: node["original_file_path"])
    # What dbt reads without rendering it gives each source once, in any order.
    if path and path[-1] == "sources" and all(isinstance(v, list) for v in value):
        return [list(v) for v in sorted(set(map(tuple, value)))]
    return value


def differences(want, got, path=()):
    """(path, dbt's, dpipe's) for each difference."""
    if is_path_of_seed(want, got):
        return
    if isinstance(want, dict) and isinstance(got, dict):
        for key in sorted(set(want) | set(got)):
            if key in MASKED:
                continue
            if key not in want:
                yield path + (key,), "<absent>", got[key]
            elif key not in got:
                yield path + (key,), want[key], "<absent>"
            else:
                yield from differences(want[key], got[key], path + (key,))
    elif isinstance(want, list) and isinstance(got, list):
        want, got = tidy_list(path, want), tidy_list(path, got)
        if len(want) != len(got):
            yield path, want, got
        else:
            for i, (a, b) in enumerate(zip(want, got)):
                yield from differences(a, b, path + (str(i),))
    elif want != got or (type(want) is not type(got) and not (is_number(want) and is_number(got))):
        yield path, want, got


def compare_manifests(report, want, got):
    """Counts entries of all sections."""
    names = set(got["macros"])
    want, got = prepared(want, names), prepared(got, names)
    for path, a, b in differences(want, got):
        report.differ("manifest: " + " / ".join(path), a, b)
    return sum(len(section) for name, section in want.items() if name != "metadata")


def compare_catalogs(report, want, got):
    for path, a, b in differences(want, got):
        report.differ("catalog: " + " / ".join(path), a, b)
    return len(want["nodes"]) + len(want["sources"])
