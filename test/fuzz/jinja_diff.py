#!/usr/bin/env python3
"""Compare the template engine with the Jinja2 package on generated templates.

usage: jinja_diff.py [--count N] [--damage N] [--seed N] [--show N]
                     [--run PROGRAM [--native]] [-- PSQL_ARGS...]

Generates templates from a grammar, renders each with Jinja2's sandbox and with
the engine, and prints every difference: in one backend with dpipe_render()
(the arguments of psql follow "--"), or, with --run, in the program jinja_run,
which needs no server and has modules, sets and Decimals besides. Both must
give the same text or both must fail; what they say when they fail is not
compared. Needs Jinja2 3.1; pytz is used if it is there. Exits with 1 when
there is a difference.

With --native, values are compared as YAML files get them: the reference is
Jinja2's native environment with the rules that dbt has for it.

With --damage, so many templates with random damage and hostile expressions
are rendered, too: the engine must survive them, and none may fail with an
internal error.

Differences that are meant are skipped and counted: limits of the engine,
complex numbers, character 0, Markup (a string here) and texts with an object's
address.
"""
import argparse
import ast
import datetime
import decimal
import itertools
import json
import random
import re
import signal
import subprocess
import sys

try:
    from jinja2 import nativetypes, sandbox
except ImportError:
    sys.exit("jinja_diff.py needs the Jinja2 package")
try:
    import pytz
except ImportError:
    pytz = None

CONTEXT = {
    "i": 7, "n": -3, "z": 0, "f": 2.5, "g": -0.125, "big": 10**22,
    "s": "Hello World", "t": "a,b,,c", "w": "  x\ty \n", "e": "", "q": "it's \"q\"",
    "u": "Grüße – ñ", "num": "42", "fl": "3.75",
    "yes": True, "no": False, "nil": None,
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "lm": [1, "x", None, 2.5, [1]],
    "le": [], "ll": [[1, 2], [3, 4], [5, 6]],
    "d": {"a": 1, "b": "two", "c": [1, 2], "items": "x"}, "de": {},
    "rows": [{"id": 2, "name": "bob", "tag": "x"}, {"id": 1, "name": "Al", "tag": "y"},
             {"id": 3, "name": "cy", "tag": "x"}],
}
# What only a program without a server has: no jsonb can hold it.
MORE = {"dec": {"$decimal": "1.50"}, "neg": {"$decimal": "-0.125"}, "dz": {"$decimal": "0.00"},
        "wide": {"$decimal": "12345678901234567890.123456789"}, "real": 1e22}
NUMBERS = ["i", "n", "z", "f", "g", "yes", "l[0]", "rows[0].id"]
STRINGS = ["s", "t", "w", "e", "q", "u", "num", "fl", "d.b", "rows[1].name", "ls[1]"]
LISTS = ["l", "ls", "lm", "le", "ll", "d.c", "rows"]
DICTS = ["d", "de", "rows[0]"]
OTHERS = ["nil", "missing", "d.missing", "no", "rows[9]", "big"]
STRING_CONSTANTS = ["''", "'a'", "'b'", "','", "' '", "'Hello'", "'x y'", "'l'", "\"it's\"",
                    "'%s'", "'%d-%s'", "'{}'", "'é'", "'\\n'", "'\\t\\\\'", "'A' 'b'", "'12'",
                    "'1.50'", "'-7'", "'a-b_c d'", "'<&>'", "'aXbXc'"]
ATTRS = ["id", "name", "tag", "0", "1", "none_such", "a"]
TESTS = ["defined", "undefined", "none", "string", "number", "mapping", "iterable", "sequence",
         "true", "false", "boolean", "integer", "float", "callable", "odd", "even", "lower",
         "upper", "filter", "test"]
TESTS1 = ["divisibleby", "eq", "equalto", "==", "ne", "!=", "lt", "<", "le", "<=", "gt", ">",
          "ge", ">=", "lessthan", "greaterthan", "in", "sameas"]


class Generator:
    def __init__(self, rng, more=False):
        self.rng = rng
        self.more = more
        self.loops = 0
        self.names = []
        self.macros = []

    def pick(self, *options):
        return self.rng.choice(options)

    def chance(self, p):
        return self.rng.random() < p

    # ---- what modules give ----

    def moment(self):
        text = self.pick("2024-01-05", "2024-02-29 23:59:59", "1999-12-31T01:02:03.5", "2024-03-10 02:30", "20240705T1011",
                         "2024-01-05T10:11:12+05:30", "2024-W05-3", "bad", "2023-02-29", "0001-01-01", "9999-12-31")
        return self.pick(
            lambda: "modules.datetime.datetime.fromisoformat('%s')" % text,
            lambda: "modules.datetime.date.fromisoformat('%s')" % (text[:10] if "-" in text else "2024-07-05"),
            lambda: "modules.datetime.datetime(%s, %s, %s%s)" % (self.pick(2024, 2023, 1, 9999, 1900), self.pick(1, 2, 6, 12, 13), self.pick(1, 28, 29, 31), self.pick("", ", 5", ", 23, 59, 59, 999999", ", hour=3, microsecond=7")),
            lambda: "modules.datetime.date(%s, %s, %s)" % (self.pick(2024, 2023, 2000), self.pick(1, 2, 12), self.pick(1, 28, 29, 31)),
            lambda: "modules.datetime.datetime.strptime('%s', '%s')" % (self.pick("2024-01-05", "05/01/24", "Jan 5 2024 3:04 PM", "20240105", "2024-060", "2024 5 1"), self.pick("%Y-%m-%d", "%d/%m/%y", "%b %d %Y %I:%M %p", "%Y%m%d", "%Y-%j", "%Y %W %w", "%Y %U %w")),
            lambda: "(%s + %s)" % (self.moment(), self.span()),
            lambda: "(%s - %s)" % (self.moment(), self.span()),
            lambda: "%s.replace(%s)" % (self.moment(), self.pick("day=3", "year=2020", "hour=4", "month=2", "")),
            lambda: "modules.pytz.timezone('%s').localize(%s)" % (self.pick("US/Eastern", "Europe/Rome", "UTC", "Asia/Kolkata"), self.moment()) if pytz else self.moment(),
            lambda: "modules.pytz.utc.localize(%s).astimezone(modules.pytz.timezone('%s'))" % (self.moment(), self.pick("US/Eastern", "Europe/London")) if pytz else self.moment(),
        )()

    def span(self):
        return self.pick("modules.datetime.timedelta(1)", "modules.datetime.timedelta(hours=%s)" % self.int_const(),
                         "modules.datetime.timedelta(days=%s, seconds=%s)" % (self.int_const(), self.int_const()),
                         "modules.datetime.timedelta(0.5)", "(modules.datetime.timedelta(3) %s %s)" % (self.pick("*", "/", "//"), self.int_const()))

    def dated(self, d):
        return self.pick(
            lambda: "%s" % self.moment(),
            lambda: "[%s]" % self.moment(),
            lambda: "(%s - %s)" % (self.moment(), self.moment()),
            lambda: "%s.strftime('%s')" % (self.moment(), self.pick("%Y-%m-%d", "%H:%M:%S.%f", "%j %U %W %V %G %u", "%a %A %b %B", "%-d %_m %y", "%Z%z|%p %I", "%c|%x|%X", "%D %F %T %e")),
            lambda: "%s.%s" % (self.moment(), self.pick("year", "month", "day", "isoformat()", "weekday()", "isoweekday()", "toordinal()", "hour", "date()", "time()", "tzinfo", "utcoffset()", "ctime()", "isoformat(' ')", "foo")),
            lambda: "%s %s %s" % (self.moment(), self.pick("<", "==", ">=", "!="), self.moment()),
            lambda: "%s" % self.span(), lambda: "[%s]" % self.span(),
            lambda: "%s.%s" % (self.span(), self.pick("days", "seconds", "total_seconds()")),
            lambda: "%s %s %s" % (self.span(), self.pick("<", "==", "+", "-", "/", "//", "%"), self.span()),
            lambda: "'{:%%Y/%%m}|{}'.format(%s, %s)" % (self.moment(), self.span()),
        )()

    def pattern(self):
        return self.pick("'a'", "'[a-z]+'", "'(.)l'", "'\\\\s+'", "'(?P<n>\\\\w)(\\\\w)?'", "'^'", "'$'", "','", "'(?i)h.'", "'x*'", "'(a|b)+'", "'\\\\b\\\\w'", "'[^\\\\w\\\\s]'", "'(?=l)'", "'('", "'(\\\\w)\\\\1'", "'\\\\d{1,2}?'")

    def regex(self, d):
        t = self.string(min(d, 1))
        return "modules.re.%s" % self.pick(
            lambda: "findall(%s, %s)" % (self.pattern(), t),
            lambda: "sub(%s, %s, %s)" % (self.pattern(), self.pick("'-'", "'<\\\\g<0>>'", "''", "'\\\\1'"), t),
            lambda: "sub(%s, '.', %s, count=1)" % (self.pattern(), t),
            lambda: "split(%s, %s%s)" % (self.pattern(), t, self.pick("", ", 1", ", maxsplit=2")),
            lambda: "search(%s, %s)" % (self.pattern(), t),
            lambda: "search(%s, %s).%s" % (self.pattern(), t, self.pick("group()", "groups()", "span()", "start()", "group(1)", "groupdict()", "end(0)")),
            lambda: "match(%s, %s, %s)" % (self.pattern(), t, self.pick("modules.re.I", "modules.re.IGNORECASE", "0")),
            lambda: "fullmatch(%s, %s) is none" % (self.pattern(), t),
            lambda: "compile(%s).%s(%s)" % (self.pattern(), self.pick("findall", "split", "match", "fullmatch"), t),
            lambda: "escape(%s)" % t,
        )()

    def iterated(self, d):
        a = self.list(min(d, 1))
        return "modules.itertools.%s" % self.pick(
            lambda: "chain(%s, %s)|list" % (a, self.list(0)),
            lambda: "chain.from_iterable(%s)|list" % self.pick("ll", "['ab', 'c']", a),
            lambda: "islice(%s, %s)|list" % (a, self.pick("1", "2", "1, 3", "0, none, 2", "none")),
            lambda: "islice(modules.itertools.count(%s), %s)|list" % (self.pick("", "5", "1, 3", "2.5"), self.pick("3", "1, 4", "0, 9, 4")),
            lambda: "zip_longest(%s, %s%s)|list" % (a, self.list(0), self.pick("", ", fillvalue=0")),
            lambda: "product(%s, %s)|list|length" % (self.list(0), self.list(0)),
            lambda: "product(%s%s)|list" % (self.pick("'ab'", "[1, 2]", "l"), self.pick("", ", repeat=2")),
            lambda: "permutations(%s, %s)|list" % (self.pick("'abc'", "l"), self.pick("1", "2", "3", "4", "none")),
            lambda: "%s(%s, %s)|list" % (self.pick("combinations", "combinations_with_replacement"), self.pick("'abc'", "l", "ls"), self.pick("0", "1", "2", "5")),
            lambda: "accumulate(%s)|list" % self.pick("l", "'abc'", "ll", a),
            lambda: "compress(%s, %s)|list" % (a, self.list(0)),
            lambda: "repeat(%s, 2)|list" % self.expr(0),
            lambda: "islice(modules.itertools.cycle(%s), 5)|list" % self.list(0),
        )()

    def sets(self, d):
        a = "set(%s)" % self.pick("l", "ls", "[1, 'a', 1]", "'hello'", "[]", self.list(min(d, 1)))
        b = "set(%s)" % self.pick("[1, 2]", "'lo'", "[]", "ls")
        return self.pick("%s|length" % a, "%s == %s" % (a, b), "%s < %s" % (a, b), "%s in %s" % (self.expr(0), a),
                         "%s.%s(%s)|length" % (a, self.pick("union", "intersection", "difference", "symmetric_difference"), self.list(0)),
                         "(%s - %s)|length" % (a, b), "%s.%s(%s)" % (a, self.pick("issubset", "issuperset", "isdisjoint"), b),
                         "%s|map('string')|sort(case_sensitive=true)|join" % a, "%s is iterable" % a, "%s is sequence" % a, "%s.add([])" % a,
                         "d.keys() - %s" % b if False else "(d.keys() - ['a'])|length")

    def extra(self, d):
        return self.pick(self.dated, self.regex, self.iterated, self.sets)(d)

    # ---- expressions ----

    def int_const(self):
        return self.pick("0", "1", "2", "3", "5", "10", "-1", "-2", "7", "1_0", "0x1f", "0b101", "0o17")

    def big_const(self):
        return self.pick("2 ** 64", "(-3) ** 41", "9223372036854775807", "-9223372036854775808", "10 ** 25", "0x1ffffffffffffffff",
                         "123456789012345678901234567890", "i * 10 ** 20", "(10 ** 30) // 7", "big")

    def float_const(self):
        return self.pick("0.5", "1.0", "2.75", "1e3", "1.5e-7", "100.0", "0.1", "3.0", "2.675", "1e16")

    def number(self, d):
        if d <= 0:
            if self.more and self.chance(0.2):
                return self.pick("dec", "neg", "dz", "wide", "real")
            return self.pick(self.int_const(), self.rng.choice(NUMBERS), self.float_const(), self.big_const())
        return self.pick(
            lambda: self.number(0),
            lambda: "%s %s %s" % (self.number(d - 1), self.pick("+", "-", "*", "/", "//", "%"), self.number(d - 1)),
            lambda: "(%s %s %s)" % (self.number(d - 1), self.pick("+", "-", "*"), self.number(d - 1)),
            lambda: "%s ** %s" % (self.pick("i", "n", "2", "f", "-2", "z"), self.pick("0", "1", "2", "3", "-1", "0.5")),
            lambda: "-%s" % self.number(d - 1),
            lambda: "+%s" % self.number(d - 1),
            lambda: "%s|length" % self.any_sized(d - 1),
            lambda: "(%s)|abs" % self.number(d - 1),
            lambda: "(%s)|round%s" % (self.number(d - 1), self.pick("", "(1)", "(2)", "(-1)", "(1, 'floor')", "(0, 'ceil')", "(2, method='common')")),
            lambda: "(%s)|int%s" % (self.expr(d - 1), self.pick("", "(5)", "(default=-1)", "(0, 16)", "(0, base=2)")),
            lambda: "(%s)|float%s" % (self.expr(d - 1), self.pick("", "(1.5)")),
            lambda: "%s|sum" % self.list(d - 1),
            lambda: "rows|sum(attribute='id')",
            lambda: "(%s).count(%s)" % (self.string(d - 1), self.string(0)),
            lambda: "(%s).find(%s%s)" % (self.string(d - 1), self.string(0), self.pick("", ", 1", ", 2, -1", ", -3")),
            lambda: "(%s).rfind(%s)" % (self.string(d - 1), self.string(0)),
            lambda: "%s.index(%s)" % (self.list(d - 1), self.expr(0)),
            lambda: "%s.count(%s)" % (self.list(d - 1), self.expr(0)),
            lambda: "(%s)|wordcount" % self.pick("s", "t", "w", "'a b-c d'"),
        )()

    def string(self, d):
        if d <= 0:
            return self.pick(self.rng.choice(STRINGS), self.rng.choice(STRING_CONSTANTS))
        return self.pick(
            lambda: self.string(0),
            lambda: "(%s ~ %s)" % (self.expr(d - 1), self.expr(d - 1)),
            lambda: "(%s + %s)" % (self.string(d - 1), self.string(d - 1)),
            lambda: "(%s * %s)" % (self.string(d - 1), self.pick("0", "1", "2", "3", "-1")),
            lambda: "(%s)|%s" % (self.expr(d - 1) if self.chance(0.3) else self.string(d - 1), self.pick(
                "upper", "lower", "title", "capitalize", "trim", "string", "reverse", "first", "last",
                "indent", "indent(2, true)", "indent(width='>', blank=true)", "trim('a ')",
                "replace('l', 'L')", "replace('', '-')", "replace('a', 'bb', 1)", "center(15)",
                "truncate(5)", "truncate(5, true)", "truncate(6, false, '..', 0)",
                "default('dd')", "default('dd', true)", "d", "list|join('-')",
                "format('x')", "format(1, 'b')", "format(a=1)")),
            lambda: "(%s).%s" % (self.string(d - 1), self.pick(
                "upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "lstrip()",
                "rstrip()", "strip('a ')", "rstrip('cdo')", "lstrip('H')", "replace('l', 'L')",
                "replace('l', '', 1)", "replace('', '.')", "zfill(8)", "center(11, '*')", "ljust(9, '.')",
                "rjust(9)", "removeprefix('He')", "removesuffix('ld')", "format(1, 2)", "format(a=i)",
                "join(ls)", "join(['x', 'y'])", "casefold()", "center(4)")),
            lambda: "(%s)[%s]" % (self.string(d - 1), self.slice()),
            lambda: "%s|join%s" % (self.list(d - 1), self.pick("", "(', ')", "('-')", "(d=' ')", "(',', 'name')", "(',', attribute='id')")),
            lambda: self.percent(d - 1),
            lambda: self.braces(d - 1),
            lambda: self.string(d - 1),
        )()

    def percent(self, d):
        spec = self.pick("%s", "%d", "%5d", "%-5d|", "%05d", "%+d", "%.2f", "%8.3f", "%x", "%X", "%o", "%#x",
                         "%r", "%e", "%g", "%.3g", "%c", "%5s|", "%-5s|", "%.2s", "%%", "% d", "%i", "%05.1f",
                         "%#o", "%.0f", "%G", "%010.2e", "%a")
        if self.chance(0.2):
            return "'%s' %% {'k': %s}" % (spec.replace("%", "%(k)", 1) if spec != "%%" else spec, self.expr(d))
        if self.chance(0.2):
            return "'%s %s' %% (%s, %s)" % (spec, "%s", self.expr(d), self.expr(d))
        if self.chance(0.5):
            return "'%s' %% (%s)" % (spec, self.number(d))
        return "'%s'|format(%s)" % (spec, self.expr(d))

    def braces(self, d):
        spec = self.pick("", ":>8", ":<8|", ":^9", ":*^9", ":d", ":05d", ":+d", ":,", ":.2f", ":,.2f", ":x", ":#x",
                         ":b", ":%", ":.1%", ":e", ":g", ":.3g", ":s", ":.3s", "!r", "!s", "!r:>8", ":_", ":#b", ":o",
                         ":10.3f", ":<10.3f|", ":= 8d", ":08.2f", ":X", ":.3", ":.0f", ":G", ":020,d", ":_x", ":.6", ":#X",
                         "!a", ":^12,.1f", ":0>5", ":>05")
        field = self.pick("{%s}", "{0%s}", "{}{%s}", "{1%s}", "{{}}{%s}", "<{%s}>")
        arg = self.number(d) if self.chance(0.6) else self.expr(d)
        if self.chance(0.15):
            return "'{k%s} {v[name]} {v.id}'.format(k=%s, v=rows[0])" % (spec, arg)
        return "'%s'.format(%s, %s)" % (field % spec, arg, self.expr(0))

    def slice(self):
        part = lambda: self.pick("", "", "0", "1", "2", "-1", "-2", "5", "none")
        return self.pick("%s:%s" % (part(), part()), "%s:%s:%s" % (part(), part(), self.pick("", "1", "2", "-1", "-2")))

    def list(self, d):
        if d <= 0:
            return self.pick(self.rng.choice(LISTS), "[1, 2]", "[]", "('a', 'b')", "(1,)", "range(3)", "()")
        return "(%s)" % self.pick(
            lambda: self.list(0),
            lambda: "[%s]" % ", ".join(self.expr(d - 1) for _ in range(self.rng.randrange(4))),
            lambda: "(%s,)" % ", ".join(self.expr(d - 1) for _ in range(self.rng.randrange(1, 4))),
            lambda: "range(%s)" % ", ".join(self.pick("0", "1", "2", "5", "10", "-3") for _ in range(self.rng.randrange(1, 4))),
            lambda: "(%s + %s)" % (self.list(d - 1), self.list(d - 1)),
            lambda: "(%s * %s)" % (self.list(d - 1), self.pick("0", "1", "2", "-1")),
            lambda: "%s[%s]" % (self.list(d - 1), self.slice()),
            lambda: "(%s)|list" % self.any_sized(d - 1),
            lambda: "(%s)|sort%s|list" % (self.any_sized(d - 1), self.pick("", "(true)", "(reverse=true)", "(case_sensitive=true)", "(attribute='id')", "(attribute='tag,name')")),
            lambda: "%s|map(%s)|list" % (self.list(d - 1), self.pick("'string'", "'upper'", "'length'", "'int'", "attribute='name'", "attribute='id'", "attribute='0'", "attribute=1", "'default', 'zz'", "'round', 1", "attribute='nope', default=5", "'first'", "'list'")),
            lambda: "%s|%s(%s)|list" % (self.list(d - 1), self.pick("select", "reject"), self.pick("", "'odd'", "'string'", "'number'", "'gt', 1", "'in', [1, 'x', 'a']", "'none'", "'defined'", "'divisibleby', 2", "'equalto', 'x'")),
            lambda: "rows|%s(%s)|list" % (self.pick("selectattr", "rejectattr"), self.pick("'id'", "'id', 'gt', 1", "'tag', 'equalto', 'x'", "'name', 'in', ['bob']", "'nope'", "'nope', 'defined'")),
            lambda: "(%s)|unique%s|list" % (self.any_sized(d - 1), self.pick("", "(true)", "(attribute='tag')")),
            lambda: "%s|reverse|list" % self.list(d - 1),
            lambda: "%s|batch(%s)|list" % (self.list(d - 1), self.pick("1", "2", "3", "2, 'x'", "linecount=2")),
            lambda: "%s|slice(%s)|list" % (self.list(d - 1), self.pick("1", "2", "3", "2, 'x'")),
            lambda: "(%s).split(%s)" % (self.string(d - 1), self.pick("", "','", "' '", "'l', 1", "none, 1", "sep=','", "','  , -1")),
            lambda: "(%s).rsplit(%s)" % (self.string(d - 1), self.pick("", "','", "' ', 1", "none, 1", "'l', 2")),
            lambda: "(%s).splitlines()" % self.string(d - 1),
            lambda: "(%s).%s(%s)" % (self.string(d - 1), self.pick("partition", "rpartition"), self.pick("','", "' '", "'l'", "'zz'")),
            lambda: "%s|dictsort%s" % (self.dict(d - 1), self.pick("", "(reverse=true)", "(by='value')", "(true)", "(false, 'value', true)")),
            lambda: "%s|items|list" % self.dict(d - 1),
            lambda: "%s.%s()|list" % (self.dict(d - 1), self.pick("keys", "values", "items")),
            lambda: "rows|groupby('tag')|list",
            lambda: "%s.copy()" % self.list(d - 1),
        )()

    def dict(self, d):
        if d <= 0:
            return self.pick(self.rng.choice(DICTS), "{'k': 1}", "{}", "{'b': 2, 'a': 1}")
        return "(%s)" % self.pick(
            lambda: self.dict(0),
            lambda: "{%s}" % ", ".join("%s: %s" % (self.pick("'a'", "'b'", "1", "s", "1.0", "true", "none", "(1, 2)", "i"), self.expr(d - 1)) for _ in range(self.rng.randrange(4))),
            lambda: "dict(a=%s, b=%s)" % (self.expr(d - 1), self.expr(0)),
            lambda: "dict([['a', %s], ('b', 2)])" % self.expr(d - 1),
            lambda: "dict(%s, zz=1)" % self.dict(d - 1),
            lambda: "%s.copy()" % self.dict(d - 1),
        )()

    def any_sized(self, d):
        return self.pick(self.list, self.dict, self.string, self.list)(d) if d > 0 else self.pick(self.list(0), self.dict(0), self.rng.choice(STRINGS))

    def boolean(self, d):
        if d <= 0:
            return self.pick("yes", "no", "true", "false", "nil", "missing is defined", "i > 3", "'a' in s", "not z")
        return self.pick(
            lambda: "%s %s %s" % (self.number(d - 1), self.pick("==", "!=", "<", "<=", ">", ">="), self.number(d - 1)),
            lambda: "%s %s %s" % (self.expr(d - 1), self.pick("==", "!=", "==", "<", ">="), self.expr(d - 1)),
            lambda: "%s < %s <= %s" % (self.number(d - 1), self.number(0), self.number(d - 1)),
            lambda: "%s %s %s" % (self.expr(d - 1), self.pick("in", "not in"), self.any_sized(d - 1)),
            lambda: "%s %s %s" % (self.string(d - 1), self.pick("in", "not in"), self.string(d - 1)),
            lambda: "(%s) is %s%s" % (self.expr(d - 1), self.pick("", "not "), self.rng.choice(TESTS)),
            lambda: "(%s) is %s(%s)" % (self.expr(d - 1), self.rng.choice([t for t in TESTS1 if t.isalpha()]), self.expr(0)),
            lambda: "(%s) is %s %s" % (self.expr(d - 1), self.pick("eq", "divisibleby", "in", "gt", "sameas"), self.pick("2", "'a'", "l", "none", "i", "[1, 2]")),
            lambda: "not %s" % self.boolean(d - 1),
            lambda: "(%s %s %s)" % (self.boolean(d - 1), self.pick("and", "or"), self.boolean(d - 1)),
            lambda: "(%s).%s" % (self.string(d - 1), self.pick("startswith('H')", "endswith('d')", "startswith(('a', 'H'))", "isdigit()", "isalpha()", "isspace()", "islower()", "isupper()", "isalnum()", "startswith('l', 2)", "endswith('o', 0, 5)", "isidentifier()", "isascii()")),
        )()

    def expr(self, d):
        if d <= 0:
            return self.pick(self.number(0), self.string(0), self.list(0), self.dict(0), self.rng.choice(OTHERS), *self.names[-2:])
        if self.more and self.chance(0.15):
            return self.extra(d - 1)
        return self.pick(
            lambda: self.number(d), lambda: self.string(d), lambda: self.list(d),
            lambda: self.dict(d), lambda: self.boolean(d), lambda: self.string(d),
            lambda: "(%s if %s else %s)" % (self.expr(d - 1), self.boolean(d - 1), self.expr(d - 1)),
            lambda: "(%s if %s)" % (self.expr(d - 1), self.boolean(d - 1)),
            lambda: "(%s %s %s)" % (self.expr(d - 1), self.pick("or", "and"), self.expr(d - 1)),
            lambda: "%s[%s]" % (self.list(d - 1), self.pick("0", "1", "-1", "2", "9")),
            lambda: "%s.%s" % (self.pick("rows[0]", "d", "rows[2]", "ll[1]"), self.pick(*ATTRS)),
            lambda: "%s[%s]" % (self.dict(d - 1), self.pick("'a'", "'b'", "1", "'zz'", "s")),
            lambda: "%s.get(%s)" % (self.dict(d - 1), self.pick("'a'", "'zz'", "'zz', 5", "1, 'x'", "none")),
            lambda: "%s.pop(%s)" % (self.dict(d - 1) + ".copy()", self.pick("'a'", "'zz'", "'zz', 5")),
            lambda: "(%s)|%s" % (self.any_sized(d - 1), self.pick("first", "last", "min", "max", "count", "min(attribute='id')", "max(case_sensitive=true)")),
            lambda: "%s %s %s" % (self.expr(d - 1), self.pick("+", "-", "*", "//", "%", "~", "/"), self.expr(0)),
            lambda: "%s(%s)" % (self.rng.choice(self.macros), ", ".join(self.args(d - 1))) if self.macros else "range(2)",
            lambda: "(%s)|default(%s%s)" % (self.expr(d - 1), self.expr(0), self.pick("", ", true")),
            lambda: "(%s)|attr(%s)|string" % (self.dict(0), self.pick("'a'", "'zz'")),
            lambda: "%s|map('upper')" % self.pick("ls", "t") + self.pick("|first", "|join", "|length", "|last"),
            lambda: self.number(d) if not self.loops else "loop.%s" % self.pick("index", "first", "last", "length", "revindex", "revindex0", "depth", "previtem", "nextitem", "cycle('a', 'b')", "changed(i)"),
        )()

    def args(self, d):
        out = [self.expr(d) for _ in range(self.rng.randrange(3))]
        if self.chance(0.2):
            out.append("*" + self.list(0))
        if self.chance(0.3):
            out.append("%s=%s" % (self.pick("a", "b", "zz"), self.expr(0)))
        if self.chance(0.1):
            out.append("**{'b': 1}")
        return out

    # ---- statements ----

    def ws(self, tag):
        open_, close = tag[:2], tag[-2:]
        a = self.pick("", "", "", "-", "+") if open_ != "{{" else self.pick("", "", "", "-")
        b = self.pick("", "", "", "-", "+") if open_ == "{%" else self.pick("", "", "", "-")
        return open_ + a + tag[2:-2] + b + close

    def text(self):
        return self.pick("", " ", "\n", "text", " a\n b ", "{ ", "}", "% ", "x { y", "\r\n", "#", "'")

    def name(self):
        return self.pick("v", "x", "y", "v", "s", "l")

    def target(self):
        return self.pick(self.name(), self.name(), self.name() + ", w2")

    def statement(self, d):
        rng = self.rng
        if d <= 0:
            return self.ws("{{ %s }}" % self.expr(rng.randrange(3)))
        # what gives Markup in Jinja2 stays outermost: here it is a string
        if self.chance(0.05):
            return self.ws("{{ (%s)|%s }}" % (self.expr(2), self.pick("tojson", "tojson(2)", "tojson(indent=1)", "escape", "safe")))
        return self.pick(
            lambda: self.ws("{{ %s }}" % self.expr(rng.randrange(4))),
            lambda: self.ws("{{ %s }}" % self.expr(rng.randrange(4))),
            self.if_, self.for_, self.set_, self.set_block, self.macro, self.call, self.filter,
            self.with_, self.do, self.comment, self.raw, self.namespace, self.print_,
        )() if self.chance(0.5) else self.ws("{{ %s }}" % self.expr(rng.randrange(1, 4)))

    def body(self, d):
        return "".join(self.text() + self.statement(d) for _ in range(self.rng.randrange(1, 3))) + self.text()

    depth = 2

    def nested(self):
        self.depth -= 1
        try:
            return self.body(self.depth)
        finally:
            self.depth += 1

    def if_(self):
        out = self.ws("{% if " + self.boolean(2) + " %}") + self.nested()
        if self.chance(0.3):
            out += self.ws("{% elif " + self.boolean(1) + " %}") + self.nested()
        if self.chance(0.5):
            out += self.ws("{% else %}") + self.nested()
        return out + self.ws("{% endif %}")

    def for_(self):
        target = self.target()
        iterable = self.any_sized(2) if "," not in target else self.pick("ll", "d.items()", "de.items()", "d|dictsort", "[(1, 2), 'ab']", "rows|groupby('tag')", "ls")
        cond = " if " + self.boolean(1) if self.chance(0.3) else ""
        self.names.append(target.split(",")[0])
        self.loops += 1
        body = self.nested()
        self.loops -= 1
        if self.chance(0.3):
            body += self.ws("{{ loop.%s }}" % self.pick("index", "last", "length", "revindex", "first", "nextitem", "previtem"))
        if self.chance(0.15):
            body += "{% if loop.index == 2 %}{% " + self.pick("break", "continue") + " %}{% endif %}after"
        out = self.ws("{% for " + target + " in " + iterable + cond + " %}") + body
        self.names.pop()
        if self.chance(0.3):
            out += self.ws("{% else %}") + self.nested()
        return out + self.ws("{% endfor %}")

    def set_(self):
        name = self.target()
        value = self.expr(2) if "," not in name else "(%s, %s)" % (self.expr(1), self.expr(1))
        self.names.append(name.split(",")[0])
        return self.ws("{% set " + name + " = " + value + " %}")

    def set_block(self):
        name = self.name()
        flt = self.pick("", "", " | upper", " | trim | length")
        out = self.ws("{% set " + name + flt + " %}") + self.nested() + self.ws("{% endset %}")
        return out + "{{ %s }}" % name

    def macro(self):
        name = self.pick("m1", "m2")
        params = self.pick("", "a", "a, b", "a, b=2", "a=1, b=a", "a, b=none")
        body = self.nested() + self.pick("", "{{ varargs }}", "{{ kwargs }}", "{{ a }}{{ b }}", "{{ caller() }}", "{{ varargs|length }}")
        self.macros.append(name)
        return self.ws("{% macro " + name + "(" + params + ") %}") + body + self.ws("{% endmacro %}") + "{{ %s(%s) }}" % (name, ", ".join(self.args(1)))

    def call(self):
        return ("{% macro mc(a=1) %}<{{ caller(" + self.pick("", "a", "a, 2") + ") }}{{ a }}>{% endmacro %}" +
                "{% call" + self.pick("", "(p)", "(p, q=3)") + " mc(" + self.pick("", "5", "a=s") + ") %}" + self.nested() + self.pick("", "{{ p }}{{ q }}") + "{% endcall %}")

    def filter(self):
        return self.ws("{% filter " + self.pick("upper", "lower", "trim", "replace('a', 'b')", "indent(2)", "title|trim") + " %}") + self.nested() + self.ws("{% endfilter %}")

    def with_(self):
        return self.ws("{% with " + self.pick("v = " + self.expr(1), "x = i, y = " + self.expr(1), "") + " %}") + self.nested() + "{{ v }}" + self.ws("{% endwith %}")

    def do(self):
        return "{% set acc = [] %}" + self.ws("{% do " + self.pick(
            "acc.append(%s)" % self.expr(1), "acc.extend(%s)" % self.list(1), "acc.insert(0, %s)" % self.expr(1),
            "%s.update({'z': 1})" % self.dict(1), "%s" % self.expr(2), "acc.append(acc)") + " %}") + "{{ acc }}"

    def comment(self):
        return self.ws("{# a comment %} {{ #}") if self.chance(0.5) else "{#- x -#}"

    def raw(self):
        return self.pick("{% raw %}{{ x }} {% if %}{% endraw %}", "{%- raw -%} {{ {% endraw -%} z", "{% raw -%}\n  a {%- endraw +%} b")

    def namespace(self):
        return ("{% set ns = namespace(c=0, l=[]) %}{% for x in " + self.list(1) + " %}{% set ns.c = ns.c + 1 %}" +
                "{% do ns.l.append(x) %}{% endfor %}{{ ns.c }}{{ ns.l }}")

    def print_(self):
        return self.ws("{% print " + ", ".join(self.expr(1) for _ in range(self.rng.randrange(1, 3))) + " %}")

    def value(self):
        """What YAML files hold: mostly one expression."""
        mark = self.pick("", "", "|as_native", "|as_bool", "|as_number", "|as_text")
        return self.pick(
            lambda: "{{ %s }}" % self.expr(self.rng.randrange(3)),
            lambda: "{{ (%s)%s }}" % (self.expr(self.rng.randrange(3)), mark),
            lambda: "{{ %s%s }}" % (self.pick(*["'%s'" % v.replace("\\", "\\\\").replace("'", "\\'") for v in [self.rng.choice(LITERALS)]]), mark),
            lambda: "{{ (t ~ %s)%s }}" % (self.string(0), mark),
            lambda: "{%% if %s %%}{{ %s }}{%% else %%}%s{%% endif %%}" % (self.boolean(1), self.expr(1), self.text()),
            lambda: "{%% for x in %s %%}{{ x }}{%% endfor %%}" % self.list(1),
            lambda: self.text() + "{{ %s }}" % self.expr(1),
            lambda: "{%% set v = %s %%}{{ v%s }}" % (self.expr(1), mark),
            lambda: self.rng.choice(LITERALS),
        )()

    def template(self):
        return "".join(self.text() + self.statement(2) for _ in range(self.rng.randrange(1, 5))) + self.text()


LITERALS = ["1", "-1", "1.5", "[1, 2]", "(1, 'a')", "{'a': [True, None]}", "True", "true", "None", "x", "'x'", "1 + 1", "1e400", "0x1f", "007",
            "00", "1_000", "{1, 2}", "[1, 2", "", " 1", "1 ", "-  2", "(1)", "(1,)", "1,", "1, 2", "r'\\d'", "'a' 'b'", "{}", "[]", "()",
            "{1: 2, **{}}", "f'x'", "12345678901234567890123", ".5", "5.", "1__0", "+3", "--3", "not 1", "'\\x41\\n'", "[1, #c\n 2]", "\n1", "1\n"]

# What damaged templates get: pieces of syntax, and expressions that want much.
PIECES = [
    "{{", "}}", "{%", "%}", "{#", "#}", "-%}", "{%-", "-}}", "{{-", "raw", "endraw", "(", ")", "[", "]",
    "{", "}", "|", "is", "not", "in", "if", "else", "elif", "endif", "for", "endfor", "set", "endset", "macro",
    "endmacro", "call", "endcall", "filter", "endfilter", "with", "endwith", "do", "and", "or", "**", "//", "~",
    "==", "<=", "1e400", "9" * 18, "9" * 19, "'\\u0000'", "'\\ud800'", "'\\x'", "'%*d'", "'%('", "'{:", "'{0[",
    "*", "recursive", "break", "continue", "\u3000", "\u00a0", "\u00e9", "|list", "|tojson(99999)",
    "|indent(99999999)", "|center(99999999)", "|batch(99999999, 1)", "|slice(9999999)", "%", " ", "\n", "\r", "\t",
    "'", '"', "\\", ".", ",", ":", "=", "0", "1", "-", "\x01", "\x7f", "\u2028", "\U0001f600"]
EXPRESSIONS = [
    "'x' * 9999999", "[l] * 999999", "range(100000)", "9223372036854775807", "(-9223372036854775807 - 1)", "1e308",
    "(1e308 * 10)", "(1e308 * 10 - 1e308 * 10)", "-0.0", "5e-324", "missing", "none", "{}", "[]", "()", "''", "loop",
    "loop.cycle", "loop.nextitem", "m1", "caller", "varargs", "kwargs", "ns", "namespace(a=1)", "cycler(1, 2)",
    "joiner()", "range", "d.items", "d.items()", "s.upper", "l.append", "(l|map('upper'))", "'{0.a[b]!r:>{1}}'",
    "'%*.*f'", "loop(l)", "acc", "(d.update({'self': d}) or d)", "(l.append(l) or l)", "l.sort()", "l.clear()",
    "d.clear()", "l.pop()", "ls.reverse()", "s.format", "lm.sort(key=s.upper)", "m1(1, 2)", "d.popitem()", "-1", "100",
    "'%99999999999d' % 1", "'%.9999f' % 1", "'{:99999999}'.format(1)"]
OPERAND = re.compile(r"(?<![\w'.])(s|t|l|ls|ll|lm|d|i|n|f|rows|[0-35]|none|nil|v|x|e|w|u)(?![\w'(=])")


def damage(rng, template):
    """The template with operands replaced, or with pieces lost and added."""
    if rng.random() < 0.5:
        places = list(OPERAND.finditer(template))
        for m in sorted(rng.sample(places, min(len(places), rng.randrange(1, 4))), key=lambda m: -m.start()):
            template = template[:m.start()] + rng.choice(EXPRESSIONS) + template[m.end():]
        return template
    for _ in range(rng.randrange(1, 5)):
        at = rng.randrange(len(template) + 1)
        lost = rng.choice([0, 0, 1, 3])
        other = rng.randrange(len(template) + 1)
        more = rng.choice([rng.choice(PIECES), template[other:other + 20], ""])
        template = template[:at] + more + template[at + lost:]
    return template


class Timeout(Exception):
    pass


def on_alarm(*_):
    raise Timeout()


def jsonb_order(value):
    """What jsonb makes of a value: members by length, then by bytes."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda k: (len(k.encode()), k.encode()))
        return {k: jsonb_order(value[k]) for k in keys}
    if isinstance(value, list):
        return [jsonb_order(v) for v in value]
    return value


# ---- the reference ----


class TextMark(str):
    pass


class LiteralMark(str):
    pass


class BoolMark(LiteralMark):
    pass


class NumberMark(LiteralMark):
    pass


class NativeSandbox(sandbox.SandboxedEnvironment):
    code_generator_class = nativetypes.NativeCodeGenerator


def native_value(pieces):
    """One piece keeps its type, unless it is marked; several are a string."""
    if not pieces:
        return ""
    if len(pieces) > 1:
        return "".join(str(p) for p in pieces)
    piece = pieces[0]
    if isinstance(piece, TextMark):
        return str(piece)
    if not isinstance(piece, LiteralMark):
        return piece
    try:
        value = ast.literal_eval(piece)
    except (ValueError, SyntaxError, MemoryError):
        value = str(piece)
    if isinstance(piece, BoolMark) and not isinstance(value, bool):
        raise ValueError("not a bool")
    if isinstance(piece, NumberMark) and (isinstance(value, bool) or not isinstance(value, (int, float))):
        raise ValueError("not a number")
    return value


def convert(value):
    if isinstance(value, dict):
        if "$decimal" in value:
            return decimal.Decimal(value["$decimal"])
        return {k: convert(v) for k, v in value.items()}
    return [convert(v) for v in value] if isinstance(value, list) else value


def more_context():
    modules = {
        "datetime": {n: getattr(datetime, n) for n in ("date", "datetime", "time", "timedelta")},
        "pytz": {n: getattr(pytz, n) for n in ("timezone", "utc", "FixedOffset")} if pytz else {},
        "re": {n: getattr(re, n) for n in ("compile", "escape", "findall", "fullmatch", "match", "search", "split", "sub", "I", "IGNORECASE")},
        "itertools": {n: getattr(itertools, n) for n in (
            "accumulate", "chain", "combinations", "combinations_with_replacement", "compress", "count", "cycle", "islice",
            "permutations", "product", "repeat", "zip_longest")},
    }
    return {"modules": modules, "set": set, **convert(MORE)}


def make_environment(native):
    env = (NativeSandbox if native else sandbox.SandboxedEnvironment)(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    if native:
        env.filters.update(as_text=TextMark, as_bool=BoolMark, as_native=LiteralMark, as_number=NumberMark)
    return env


def reference(env, source, args):
    signal.alarm(2)
    try:
        # a fresh context: templates change it
        context = json.loads(json.dumps(CONTEXT))
        if not args.run:
            return ("text", env.from_string(source).render(jsonb_order(context)))
        context.update(more_context())
        template = env.from_string(source)
        if not args.native:
            return ("text", template.render(context))
        return ("text", repr(native_value(list(template.root_render_func(template.new_context(context))))))
    except Timeout:
        return ("timeout", "")
    except Exception as e:  # every error is an error
        return ("error", "%s: %s" % (type(e).__name__, e))
    finally:
        signal.alarm(0)


# ---- the engine ----


def run_all(templates, args):
    """The program renders them all."""
    context = dict(CONTEXT, **MORE)
    lines = [json.dumps({"template": t, "context": context, "native": args.native}) + "\n" for t in templates]
    out = subprocess.run([args.run], input="".join(lines), capture_output=True, text=True, encoding="utf-8")
    if out.returncode != 0:
        sys.exit("%s failed with %d: %s" % (args.run, out.returncode, out.stderr[-3000:]))
    results = [json.loads(line) for line in out.stdout.split("\n") if line]
    return [{"kind": "error", "state": r["state"], "text": r["error"]} if "state" in r else
            {"kind": "text", "text": r.get("text", r.get("value"))} for r in results]


def render_all(templates, args):
    """One backend renders them all; errors are caught one by one."""
    if args.run:
        return run_all(templates, args)
    psql = args.psql
    script = ["""
CREATE FUNCTION pg_temp.attempt(template text, context jsonb) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
  RETURN pg_catalog.jsonb_build_object('kind', 'text', 'text', dpipe_render(template, context));
EXCEPTION WHEN OTHERS THEN
  RETURN pg_catalog.jsonb_build_object('kind', 'error', 'state', SQLSTATE, 'text', SQLERRM);
END $$;
CREATE TEMP TABLE template (id int, source text);
COPY template FROM STDIN;
"""]
    for i, t in enumerate(templates):
        quoted = t.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r").replace("\t", "\\t")
        script.append("%d\t%s\n" % (i, quoted))
    script.append("\\.\n")
    context = json.dumps(CONTEXT).replace("'", "''")
    script.append("SELECT pg_temp.attempt(source, '%s') FROM template ORDER BY id;\n" % context)
    out = subprocess.run(["psql", "-XqAt", "-v", "ON_ERROR_STOP=1"] + psql, input="".join(script),
                         capture_output=True, text=True, encoding="utf-8")
    if out.returncode != 0:
        sys.exit("psql failed: " + out.stderr)
    return [json.loads(line) for line in out.stdout.split("\n") if line]


# A set's order, a complex number, ...
MEANT = re.compile(r" at 0x[0-9a-f]+|\d[-+]?[0-9.e+-]*j\b|Markup\('|Decimal\('(NaN|-?Inf)|<module|<class|<method|<function|<bound|IsoCal|<itertools|built-in", re.I)


# Jinja2 makes an undefined of such a slice, but only of constants.
LESS = re.compile(r"complex numbers are|contain character 0|object cannot be sliced")


def compare(source, want, got):
    """None: equal; otherwise "skip" or "differs"."""
    if got["kind"] == "error" and LESS.search(got["text"]):
        return "skip"
    if want[0] == "timeout" or (got["kind"] == "error" and got["state"] in ("22003", "54000", "54001")):
        return "skip"
    if want[0] == "error":
        return None if got["kind"] == "error" else "differs"
    if MEANT.search(want[1]):
        return "skip"
    if got["kind"] == "text" and got["text"] == want[1]:
        return None
    return "differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--damage", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=20, help="differences to print")
    parser.add_argument("--run", help="the program jinja_run, instead of psql")
    parser.add_argument("--native", action="store_true", help="compare values, not texts")
    parser.add_argument("psql", nargs="*", help="arguments of psql")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, on_alarm)
    env = make_environment(args.native)
    rng = random.Random(args.seed)
    more = args.run is not None
    templates = [Generator(rng, more).value() if args.native else Generator(rng, more).template() for _ in range(args.count)]
    expected = [reference(env, t, args) for t in templates]
    results = render_all(templates, args)
    differs = skipped = 0
    for source, want, got in zip(templates, expected, results):
        verdict = compare(source, want, got)
        if verdict == "skip":
            skipped += 1
        elif verdict == "differs":
            differs += 1
            if differs <= args.show:
                print("--- template:\n%s\n--- Jinja2: %s: %r\n--- dpipe:  %s: %r\n" %
                      (source, want[0], want[1], got.get("state", "text"), got["text"]))
    damaged = [damage(rng, rng.choice(templates)) for _ in range(args.damage)]
    states = [r.get("state", "") for r in render_all(damaged, args)] if damaged else []
    for source, state in zip(damaged, states):
        if state.startswith("XX"):
            differs += 1
            print("--- internal error %s:\n%s\n" % (state, source))
    if len(states) != len(damaged):
        sys.exit("not all damaged templates were rendered")
    errors = sum(1 for want in expected if want[0] == "error")
    print("%d templates (%d fail in both), %d damaged, %d skipped, %d differ" %
          (len(templates), errors, len(damaged), skipped, differs))
    return 1 if differs or len(results) != len(templates) else 0


if __name__ == "__main__":
    sys.exit(main())
