#!/usr/bin/env python3
"""Compare how YAML files of projects are read with PyYAML.

usage: yaml_diff.py [--count N] [--seed N] [--show N] [-- PSQL_ARGS...]

Generates YAML texts (scalars at the borders of the types of YAML 1.1, block
and flow collections, anchors, merge keys, and all of it damaged), reads each
with PyYAML's CSafeLoader and with dpipe._test_yaml(), and prints every
difference. Both must give the same value or both must fail; what they say when
they fail is not compared, but an internal error is a difference.

Differences that are meant are skipped and counted: values that hold
themselves, tags that SafeLoader knows and JSON does not (sets, binary, omap).
The oracle is PyYAML 6.0 (Debian's): 6.0.4 follows a merge key otherwise.
"""
import argparse
import datetime
import json
import math
import random
import subprocess
import sys

try:
    import yaml
    from yaml import CSafeLoader
except ImportError:
    sys.exit("yaml_diff.py needs PyYAML with libyaml")

SCALARS = """yes no Yes YES No NO on off On ON OFF true True TRUE tRue false y n Y N ~ null Null NULL nULL
0 1 -1 +1 00 007 010 08 09 0o7 0b101 0b 0b_ 0b2 0x1F 0xg 0x 0x_ -0x1f -010 +0b1 1_000 _1 1_ 0_ 0_7 -0 +0 12345678901234567890123
-98765432109876543210 0x1234567890abcdef12345 077777777777777777777777777
1:30 1:60 1:59 1:5 01:30 -1:30 1:30:59 1:2:3:4 190:20:30 1:30.5 1:30. 190:20:30.15 0:30 1:30:
1. 1.0 .5 -.5 +.5 1.5e3 1.5e+3 1e3 1e+3 1.e+3 1.5E-10 .5e+1 ._5 1_0.5_0 1.0.0 . .. -. 6.8523015e+5 685.230_15e+03 0.1 1e22 1.0e+22 123456789.125
1.0e+400 0.30000000000000004 1.0e-7 1.0e+16 1.0e+15 123456789012345680.0
.inf -.inf +.inf .Inf .INF .iNF .nan .NaN .NAN -.nan
2020-01-01 2020-1-1 2020-13-01 2020-02-30 2020-02-29 0000-01-01 2020-01-01T00:00:00 2020-1-1T0:00:00 2020-01-01t10:20:30.5
2020-01-01T10:20:30Z 2020-01-01T10:20:30+02:00 2020-01-01T10:20:30-2 2020-01-01T25:00:00 2020-01-01T10:20:30.1234567 2020-01-01T10:20:30-00:00
2020-01-01T10:20:30+25:00 2020-01-01T10:20 2001-12-14t21:59:43.10-05:00 20200101
= << <<< - ? a abc a-b a.b a_b a/b a:b :a a# #a @a `a` %a &a *a !a !!str !!int | > |- [a] {a} [] {} , é ñandú 日本 '' "" 'it''s' "a\\nb" "\\u00e9" "\\x41" 'x: y' "q # z"
""".split() + [
    "2020-01-01 10:20:30", "2020-01-01 10:20:30 Z", "2020-01-01 10:20:30 +1:30", "2020-01-01  10:20:30.25\t-0530",
    "a b", "a: b", "a #b", "a# b", "x ", " x", "'yes'", '"1"', "!!str 1", "!!int '12'", "!!float 1", "!!bool yes", "!!bool maybe",
    "!!null x", "!!timestamp 2020-01-01", "!!timestamp x", "!!int x", "! 12", "!foo 1", "!!float '1.5'", "!!bool 'TRUE'", "!!bool tRuE",
    "!!seq [a]", "!!map {a: 1}", "!!str [a]", "!!merge <<",
    "{{ var('x') }}", "'{{ var(\"x\") }}'", "\"{{ doc('x') }}\"", "{a: 1, b}", "[a, [b, {c: d}]]", "{a: , b: }", "[,]", "{? a : b}", "[a: b]", "[a: b, c: d]",
    "{a: 1, a: 2}", "{1: x, true: y, 1.0: z}", "{null: x}", "{[a]: b}", "{2020-01-01: x}", "{.nan: 1, .inf: 2}", "{1e3: 1}",
]
KEYS = ["a", "b", "c", "name", "columns", "+tags", "1", "yes", "null", "1.5", "'q'", '"k"', "a b", "<<", "<<", "=", "{{ x }}", "? a\n: b", "2020-01-01"]


class Generator:
    def __init__(self, rng):
        self.rng = rng
        self.anchors = []

    def scalar(self):
        r = self.rng.random()
        if self.anchors and r < 0.08:
            return "*" + self.rng.choice(self.anchors)
        if r < 0.75:
            return self.rng.choice(SCALARS)
        if r < 0.9:
            return "".join(self.rng.choice("0123456789_.:+-eExb") for _ in range(self.rng.randint(1, 7)))
        return "".join(self.rng.choice("abc019 _-:#,[]{}'\"!&*|>%@\té\\") for _ in range(self.rng.randint(1, 8)))

    def anchor(self):
        if self.rng.random() > 0.15:
            return ""
        name = self.rng.choice("xyz") + str(self.rng.randint(0, 9))
        self.anchors.append(name)
        return "&" + name + " "

    def block_scalar(self, pad):
        head = self.rng.choice("|>") + self.rng.choice(["", "-", "+", "2", "-1"])
        lines = [self.rng.choice(["text", "", "  more", "a: b", "# no", "'x'", "\ttab"]) for _ in range(self.rng.randint(0, 4))]
        return head + "\n" + "".join(pad + " " + line + "\n" for line in lines)

    def value(self, depth, pad):
        r = self.rng.random()
        if depth <= 0 or r < 0.5:
            if r < 0.06:
                return " " + self.block_scalar(pad)
            return " " + self.anchor() + self.scalar() + "\n"
        anchor = self.anchor()
        if r < 0.75:
            text = " " + anchor + "\n"
            for _ in range(self.rng.randint(1, 4)):
                text += pad + self.rng.choice(KEYS) + ":" + self.value(depth - 1, pad + "  ")
            return text
        if r < 0.9:
            text = " " + anchor + "\n"
            for _ in range(self.rng.randint(1, 4)):
                text += pad + "-" + self.value(depth - 1, pad + "  ")
            return text
        items = ", ".join(self.rng.choice(["", self.rng.choice(KEYS) + ": "]) + self.scalar() for _ in range(self.rng.randint(0, 4)))
        return " " + anchor + ("[" + items + "]" if r < 0.95 else "{" + items + "}") + "\n"

    def text(self):
        self.anchors = []
        text = self.rng.choice(["", "", "", "---", "# comment\n", "\ufeff", "%YAML 1.1\n---"]) + self.value(self.rng.randint(0, 4), "")
        if self.rng.random() < 0.03:
            text += self.rng.choice(["...\n", "---\n", "--- a\n", "...\n# end\n"])
        if self.rng.random() < 0.15:
            chars = list(text)
            for _ in range(self.rng.randint(1, 3)):
                i = self.rng.randrange(len(chars) + 1)
                if self.rng.random() < 0.5 and i < len(chars):
                    del chars[i]
                else:
                    chars.insert(i, self.rng.choice("-:?[]{},&*!|>'\"%@`# \n\t\x01\x85\u2028\U0001f600"))
            text = "".join(chars)
        return text.lstrip(" ") if self.rng.random() < 0.9 else text


class Meant(Exception):
    pass


def key_text(key):
    if isinstance(key, datetime.date):
        return key.isoformat()
    return str(key)


def plain(value, seen=()):
    """The value as dpipe has it."""
    if id(value) in seen:
        raise Meant
    if isinstance(value, dict):
        return {key_text(k): plain(v, seen + (id(value),)) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v, seen + (id(value),)) for v in value]
    if isinstance(value, datetime.date):
        return value.isoformat()
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, (set, bytes, tuple)):
        raise Meant
    if isinstance(value, str) and "\0" in value:
        raise ValueError
    return value


def expected(text):
    try:
        value = plain(yaml.load(text, Loader=CSafeLoader))
    except Meant:
        return "meant"
    except RecursionError:
        return "meant"
    except Exception:
        return None
    return json.dumps(value)


def measured(texts, psql):
    """What dpipe reads; None for an error; the error's text if it is internal."""
    script = """
\\set ON_ERROR_STOP 1
SET client_min_messages = error;
CREATE TEMP TABLE t (id int, body jsonb);
CREATE FUNCTION pg_temp.try(body text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN dpipe._test_yaml(body);
EXCEPTION WHEN OTHERS THEN
    RETURN '!' || SQLSTATE || ' ' || SQLERRM;
END $$;
COPY t FROM stdin;
"""
    rows = []
    for i, text in enumerate(texts):
        body = json.dumps([text]).replace("\\", "\\\\")
        rows.append("%d\t%s\n" % (i, body))
    script += "".join(rows) + "\\.\n"
    script += "COPY (SELECT json_build_array(pg_temp.try(body->>0))::text FROM t ORDER BY id) TO stdout;\n"
    run = subprocess.run(["psql", "-X", "-q", "-A", "-t"] + psql, input=script, text=True, encoding="utf-8", capture_output=True)
    if run.returncode != 0:
        sys.exit("psql failed: " + run.stderr)
    lines = [line for line in run.stdout.split("\n") if line]
    if len(lines) != len(texts):
        sys.exit("psql gave %d lines for %d texts: %s" % (len(lines), len(texts), run.stderr))
    return [json.loads(line.replace("\\\\", "\\"))[0] for line in lines]


def same(a, b):
    """Equal, in type and order, too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("psql", nargs="*")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    generator = Generator(rng)
    texts = [generator.text() for _ in range(args.count)]
    # Plain scalars by themselves, where a type is what is looked at.
    texts += [s + "\n" for s in SCALARS] + ["- " + s + "\n" for s in SCALARS] + ["k: " + s + "\n" for s in SCALARS]
    differ = meant = failed = 0
    for text, got in zip(texts, measured(texts, args.psql)):
        want = expected(text)
        if want == "meant":
            meant += 1
            continue
        error = got[1:] if got.startswith("!") else None
        if error is not None and "is a part of what it stands for" in error:
            meant += 1
            continue
        if want is None:
            failed += 1
            if error is not None and not error.startswith("XX"):
                continue
        elif error is None and same(json.loads(want), json.loads(got)):
            continue
        differ += 1
        if differ <= args.show:
            print("---- %r\n  PyYAML: %s\n  dpipe:  %s" % (text, want, got))
    print("%d texts (%d wrong, %d not compared), seed %d: %d differ" % (len(texts), failed, meant, args.seed, differ))
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
