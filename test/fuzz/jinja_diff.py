#!/usr/bin/env python3
"""Compare the template engine with the Jinja2 package on generated templates.

usage: jinja_diff.py [--count N] [--damage N] [--seed N] [--show N] [--file FILE]
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

With --file, the templates are the lines of a file, found.jinja for one: those
that differed once.

With --damage, so many templates with random damage and hostile expressions
are rendered, too: the engine must survive them, and none may fail with an
internal error.

Differences that are meant are skipped and counted: limits of the engine,
complex numbers, character 0 and texts with an object's address. Markup is as
in MarkupSafe 3, whatever is installed.
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
from markupsafe import Markup

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
            lambda: "modules.pytz.timezone('%s').localize(%s)" % (self.zone(), self.moment()) if pytz else self.moment(),
            lambda: "modules.pytz.utc.localize(%s).astimezone(modules.pytz.timezone('%s'))" % (self.moment(), self.zone()) if pytz else self.moment(),
            lambda: "modules.datetime.datetime.combine(%s, %s)" % (self.moment(), self.clock()),
            lambda: "modules.datetime.datetime.utcfromtimestamp(%s)" % self.pick("0", "86399.5", "-1", "1709251199", "1e9"),
            lambda: "modules.datetime.datetime.fromtimestamp(%s, modules.pytz.timezone('%s'))" % (self.pick("0", "86399.25", "1709251199", "1e9"), self.zone()) if pytz else self.moment(),
            lambda: "modules.datetime.%s.fromordinal(%s)" % (self.pick("date", "datetime"), self.pick("1", "738000", "0", "3652059")),
            lambda: "%s.replace(tzinfo=%s)" % (self.moment(), self.pick("modules.pytz.utc", "none", "modules.pytz.FixedOffset(90)")) if pytz else self.moment(),
            lambda: "modules.pytz.timezone('%s').normalize(%s)" % (self.zone(), self.moment()) if pytz else self.moment(),
        )()

    def zone(self):
        return self.pick("US/Eastern", "Europe/Rome", "UTC", "Asia/Kolkata", "Europe/London", "Europe/Dublin", "Australia/Sydney",
                         "Australia/Lord_Howe", "America/Sao_Paulo", "Pacific/Apia", "Etc/GMT+5", "GMT", "Asia/Tokyo", "No/Where")

    def clock(self):
        return self.pick(lambda: "modules.datetime.time(%s)" % self.pick("1", "23, 59", "4, 5, 6", "4, 5, 6, 7", "hour=24", "12, microsecond=500", ""),
                         lambda: "modules.datetime.time.fromisoformat('%s')" % self.pick("04:05", "04:05:06.5", "T0405", "24:00", "04:05+01:00"),
                         lambda: "%s.%s()" % (self.moment(), self.pick("time", "timetz")))()

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
            lambda: "%s.%s" % (self.moment(), self.pick("year", "month", "day", "isoformat()", "weekday()", "isoweekday()", "toordinal()", "hour", "date()", "time()", "tzinfo", "utcoffset()", "ctime()", "isoformat(' ')", "foo",
                                                             "isoformat('T', 'minutes')", "isoformat(timespec='milliseconds')", "isocalendar()[1]", "isocalendar()|list", "timetz()", "dst()",
                                                             "tzname()", "minute", "second", "microsecond", "fold", "timestamp()", "isoformat(sep='_')")),
            lambda: "%s.%s" % (self.clock(), self.pick("hour", "minute", "isoformat()", "isoformat('hours')", "strftime('%H|%M|%S|%f')", "replace(minute=3)", "tzinfo", "utcoffset()", "second")),
            lambda: self.pick("%s", "[%s]") % self.clock(),
            lambda: "%s %s %s" % (self.clock(), self.pick("<", "==", ">="), self.clock()),
            lambda: "%s.strftime('%%%s%s')" % (self.moment(), *self.pick(("", self.pick(*"zZfs%cDFrRTxX")), (self.pick("", "-", "_", "0", "^", "#"), self.pick(*"aAbBCdegGhHIjklmMnpStuUVwWyYE")))),
            lambda: "modules.datetime.datetime.strptime('%s', '%s')" % (self.pick("2024-01-05 10:11:12", "5 Feb 2024", "Monday 1 January 2024", "12/31/99 23:59", "10:11 PM", "2024-W05-1", "20240105T101112Z", "Jan", "1:2:3.5", "2024 366", "2023 366"), self.pick("%Y-%m-%d %H:%M:%S", "%d %b %Y", "%A %d %B %Y", "%m/%d/%y %H:%M", "%I:%M %p", "%G-W%V-%u", "%Y%m%dT%H%M%S%z", "%b", "%H:%M:%S.%f", "%Y %j", "%c", "%x", "%q", "%%")),
            lambda: "%s %s %s" % (self.moment(), self.pick("<", "==", ">=", "!="), self.moment()),
            lambda: "%s" % self.span(), lambda: "[%s]" % self.span(),
            lambda: "%s.%s" % (self.span(), self.pick("days", "seconds", "total_seconds()", "microseconds")),
            lambda: "%s%s" % (self.pick("-", "+", "not "), self.span()),
            lambda: "(%s)|%s" % (self.span(), self.pick("abs", "string", "int", "float", "length", "list")),
            lambda: "%s %s %s" % (self.span(), self.pick("<", "==", "+", "-", "/", "//", "%"), self.span()),
            lambda: "'{:%%Y/%%m}|{}'.format(%s, %s)" % (self.moment(), self.span()),
        )()

    def pattern(self):
        return self.pick("'a'", "'[a-z]+'", "'(.)l'", "'\\\\s+'", "'(?P<n>\\\\w)(\\\\w)?'", "'^'", "'$'", "','", "'(?i)h.'", "'x*'", "'(a|b)+'", "'\\\\b\\\\w'", "'[^\\\\w\\\\s]'", "'(?=l)'", "'('", "'(\\\\w)\\\\1'", "'\\\\d{1,2}?'",
                         "'(?<=l)o'", "'(?<!l)o'", "'(?!l).'", "'(?:a|b)*?c'", "'[\\\\d,.-]+'", "'(?P<x>l)(?P=x)'", "'\\\\S+\\\\s*'", "'(?s).+'", "'(?m)^.'", "'(?x) l  l # two'", "'a{2,}|l{2}'", "'[^]l]'", "'(l)?(o)'",
                         "'\\\\W'", "'\\\\D+'", "'\\\\Bo'", "'\\\\AH'", "'d\\\\Z'", "'.{3}'", "'(a)|(l)|(o)'", "'x{0}'", "'[[:alpha:]]'", "'\\\\.'", "'[a-'", "'*'", "'a**'", "'(?P<1>a)'", "'(?P<n>a)(?P<n>b)'", "'\\\\8'", "'é|ü'", "'(?i)grÜ'", "'[\\\\u00e0-\\\\u00ff]'", "'(?(1)a|b)'", "'(h)?(?(1)e|H)'")

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
            lambda: "subn(%s, '_', %s)" % (self.pattern(), t),
            lambda: "sub(%s, %s, %s, flags=modules.re.I)" % (self.pattern(), self.pick("'\\\\2'", "'\\\\g<n>'", "'[\\\\g<1>]'", "'\\\\n'", "'\\\\\\\\'", "'\\\\x'"), t),
            lambda: "findall(%s, %s, modules.re.%s)" % (self.pattern(), t, self.pick("I", "M", "S", "X", "A", "I + modules.re.M")),
            lambda: "finditer(%s, %s)|map('string')|list|length" % (self.pattern(), t),
            lambda: "search(%s, %s).%s" % (self.pattern(), t, self.pick("expand('<\\\\1>')", "string", "pos", "endpos", "lastindex", "lastgroup", "group(0, 1)", "groups('')", "span(1)", "group('n')", "re.pattern", "[0]", "[1]")),
            lambda: "compile(%s, modules.re.I).%s" % (self.pattern(), self.pick("pattern", "groups", "groupindex|list", "sub('x', %s)" % t, "match(%s, 1)" % t, "search(%s, 2, 5)" % t, "findall(%s, 1)" % t, "split(%s, maxsplit=1)" % t)),
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
            lambda: "starmap(%s, ll)|list" % self.pick("range", "modules.datetime.timedelta"),
            lambda: "tee(%s, %s)|map('list')|list" % (a, self.pick("1", "2", "0")),
            lambda: "accumulate(%s, initial=%s)|list" % (self.pick("l", "[1, 2]"), self.pick("10", "none")),
            lambda: "islice(modules.itertools.count(), 3)|%s" % self.pick("sum", "max", "first", "join", "length", "map('string')|list"),
            lambda: "repeat(%s, times=%s)|list" % (self.expr(0), self.pick("0", "2", "-1")),
        )()

    def sets(self, d):
        a = "set(%s)" % self.pick("l", "ls", "[1, 'a', 1]", "'hello'", "[]", self.list(min(d, 1)))
        b = "set(%s)" % self.pick("[1, 2]", "'lo'", "[]", "ls")
        return self.pick("%s|length" % a, "%s == %s" % (a, b), "%s < %s" % (a, b), "%s in %s" % (self.expr(0), a),
                         "%s.%s(%s)|length" % (a, self.pick("union", "intersection", "difference", "symmetric_difference"), self.list(0)),
                         "(%s - %s)|length" % (a, b), "%s.%s(%s)" % (a, self.pick("issubset", "issuperset", "isdisjoint"), b),
                         "%s|map('string')|sort(case_sensitive=true)|join" % a, "%s is iterable" % a, "%s is sequence" % a, "%s.add([])" % a,
                         "(d.keys() - ['a'])|length", "%s.copy() == %s" % (a, a), "(%s.add(5) or %s)" % (a, self.pick("1", "2")), "%s.discard(1)" % a, "%s.remove(99)" % a,
                         "%s.%s(%s)" % (a, self.pick("update", "difference_update", "intersection_update"), self.list(0)), "%s is %s" % (a, self.pick("mapping", "string", "callable", "sequence")), "%s <= %s <= %s" % (b, a, a),
                         "set(%s)|sort|list" % self.pick("l", "'hello'", "[2, 1, 2]"), "set([%s])" % self.expr(0), "set([1])|pprint", "set(['%s'])|pprint" % ("a" * 90), "set([1])|%s" % self.pick("first", "list", "max", "sum", "join", "string", "tojson"))

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
            lambda: "(%s)|sum(start=%s)" % (self.list(d - 1), self.pick("1", "[]", "2.5", "none")),
            lambda: "(%s).%s(%s%s)" % (self.string(d - 1), self.pick("index", "rindex"), self.string(0), self.pick("", ", 1", ", -4, -1")),
            lambda: "%s.index(%s, %s)" % (self.list(d - 1), self.expr(0), self.pick("0", "1", "-2, 9")),
            lambda: "%s%s%s" % (self.pick("- -", "-+", "+-"), self.number(0), self.pick("", " ** 2", " ** 2 ** 2", "|abs")),
            lambda: "%s %s %s %s %s" % (self.number(0), self.pick("+", "-", "*", "**"), self.pick("2", "3", "i", "f"), self.pick("//", "%", "*", "-"), self.number(0)),
            lambda: "[%s]|random" % self.number(d - 1),
            lambda: self.pick("1e5", "1_000.5", "1E-3", "1.e3", "00", "0b1_0", "0xFf", "1__0", "5.real", "i.real", "i.bit_length()", "(2.5).is_integer()", "f.is_integer()", "i.numerator", "big.bit_length()"),
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
                "format('x')", "format(1, 'b')", "format(a=1)",
                "striptags", "urlencode", "urlize", "urlize(4)", "urlize(nofollow=true)", "urlize(target='_top', rel='a b')", "wordwrap(5)", "wordwrap(3, false)",
                "wordwrap(4, wrapstring='|')", "wordwrap(6, break_on_hyphens=false)", "wordwrap", "pprint", "filesizeformat", "filesizeformat(true)", "filesizeformat(binary=true)",
                "truncate(length=7, killwords=true, end='')", "truncate(3)", "truncate(8, leeway=2)", "indent(3, blank=true)", "indent('--', first=true)", "center", "center(width=7)",
                "replace('l', '', count=1)", "replace(1, 2)", "trim(chars='H')", "batch(2)|list", "slice(3)|list", "list|sort|join", "unique|join('.')", "count", "wordcount", "xmlattr",
                "map('upper')|join", "select('in', 'aeiou')|list", "float", "int", "title|upper|lower", "attr('upper')", "attr('nope')", "e", "escape|lower", "safe|upper",
                "striptags|upper", "random|length", "max", "min", "sort(reverse=true)|first", "dictsort", "groupby(0)|list", "tojson|length", "items|list", "selectattr('x')|list")),
            lambda: self.pick("'see http://a.bc/d?e=f(g), www.x.org! <b>me@x.org</b>'", "'<p>a &lt; b&nbsp;&copy; <!-- x --> c'", "'one-two three--four  five'", "'x=1&y=%20'", "'https://[::1]/ (http://a.de)'", "'a\\n\\nb  c'",
                              "'mailto:a@b.cd a@b.cd.'", "('word ' * 30)", "('x' * 90)", "('ab cd\\n' * 12)") + "|" + self.pick("urlize", "urlize(8)", "striptags", "wordwrap(8)", "wordwrap(2)", "urlencode", "pprint", "title", "wordcount", "truncate(20)", "indent"),
            lambda: "(%s).%s" % (self.string(d - 1), self.pick(
                "upper()", "lower()", "title()", "capitalize()", "swapcase()", "strip()", "lstrip()",
                "rstrip()", "strip('a ')", "rstrip('cdo')", "lstrip('H')", "replace('l', 'L')",
                "replace('l', '', 1)", "replace('', '.')", "zfill(8)", "center(11, '*')", "ljust(9, '.')",
                "rjust(9)", "removeprefix('He')", "removesuffix('ld')", "format(1, 2)", "format(a=i)",
                "join(ls)", "join(['x', 'y'])", "casefold()", "center(4)",
                "expandtabs()", "expandtabs(4)", "translate({97: 'b', 108: none, 'o': 1})", "translate('x'.maketrans('le', 'Ea', 'o'))", "maketrans({'a': 1, 98: none})", "maketrans('ab', s)", "format_map({'a': 1})", "format(*ls)", "format(**{'a': 2})", "ljust(3)", "zfill(3)",
                "split('l')|join('L')", "rsplit(None)|join", "splitlines(true)|join('|')", "replace('o', 'é', 2)", "strip(none)", "strip('')", "removeprefix('')", "partition('l')[1]", "rpartition('l')[0]",
                "isdecimal()", "isnumeric()", "istitle()", "isprintable()", "nope()", "upper(1)", "center()", "split('')", "join(5)", "join([1])", "replace('a')", "lower().upper().title()",
                "__class__", "__len__()", "format('{}')", "count('')", "find('')", "rfind('')", "startswith('')", "endswith(('d', 'x'), 1)", "startswith([])", "swapcase().swapcase()")),
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
        if self.chance(0.4):
            spec = "%" + "".join(self.pick("", "", "-", "+", " ", "#", "0") for _ in range(3)) + self.pick("", "", "3", "9", "12", "*") + self.pick("", "", ".0", ".2", ".10", ".", ".*") + self.pick("", "", "", "l", "h") + self.pick(*"sdiouxXeEfFgGcra%q")
            stars = spec.count("*")
            return "'%s' %% (%s%s,)" % (spec, "".join(self.pick("3, ", "-7, ", "0, ", "'a', ") for _ in range(stars)), self.number(d) if self.chance(0.6) else self.expr(d))
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
        if self.chance(0.5):
            spec = ":" + self.spec()
        field = self.pick("{%s}", "{0%s}", "{}{%s}", "{1%s}", "{{}}{%s}", "<{%s}>")
        arg = self.number(d) if self.chance(0.6) else self.expr(d)
        if self.chance(0.15):
            return "'{k%s} {v[name]} {v.id}'.format(k=%s, v=rows[0])" % (spec, arg)
        return "'%s'.format(%s, %s)" % (field % spec, arg, self.expr(0))

    def spec(self):
        """[[fill]align][sign][z][#][0][width][grouping][.precision][type]"""
        return (self.pick("", "", "<", ">", "^", "=", "*>", "é^", "0=", "x<") + self.pick("", "", "", "+", "-", " ") + self.pick("", "", "", "", "z") +
                self.pick("", "", "", "#") + self.pick("", "", "0") + self.pick("", "", "1", "7", "12", "25", "{1}") + self.pick("", "", "", ",", "_") +
                self.pick("", "", ".0", ".1", ".3", ".12", ".") + self.pick("", "", *"bcdeEfFgGnosxX%?"))

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
            lambda: "%s|map(%s)|list" % (self.list(d - 1), self.pick("'replace', 'a', 'b'", "'default', default_value=1", "'int', default=7", "'attr', 'upper'", "'join', '-'", "'pprint'", "'nope'", "", "5", "'format', 1", "'truncate', 2", "attribute='name.0'", "attribute='nope.x'", "'first', 1", "'round', precision=1", "'abs'", "attribute='id', default=0, x=1")),
            lambda: "%s|%s(%s)|list" % (self.list(d - 1), self.pick("select", "reject"), self.pick("'even'", "'lt', 3", "'ne', 1", "'sameas', none", "'nope'", "'mapping'", "'iterable'", "'sequence'", "'lower'", "'upper'", "'integer'", "'float'", "'boolean'", "'callable'", "'==', 3", "'>=', 2", "'divisibleby'", "'true'", "'test'", "'filter'", "'undefined'")),
            lambda: "rows|%s(%s)%s|list" % (self.pick("selectattr", "rejectattr"), self.pick("'id', '>', 1", "'id', 'odd'", "'name', 'lower'", "'name.0', 'eq', 'b'", "", "'tag', 'ne'", "'id', 'divisibleby', 2"), self.pick("", "|map(attribute='name')", "|sum(attribute='id')|string", "|sort(attribute='name')", "|unique(attribute='tag')")),
            lambda: "rows|groupby(%s)|%s" % (self.pick("'tag'", "'nope', default='z'", "attribute='tag'", "'name', case_sensitive=true", "'name'", "'id'", "'nope'", "0"), self.pick("list", "map(attribute='grouper')|list", "map('first')|list", "map(attribute=1)|map('length')|list", "map(attribute='list')|list", "first")),
            lambda: "(%s)|%s" % (self.list(d - 1), self.pick("sort(attribute='id,name')", "sort(true, true)", "batch(0)|list", "batch(-1)|list", "slice(0)|list", "slice(9, none)|list", "batch(4, 0)|list", "unique|list|reverse|list", "pprint", "batch(1)|map('random')|list", "list|list", "tojson|string|length", "map('string')|map('upper')|list", "max(attribute='name')", "join(attribute='tag')", "join('-', attribute=0)", "sum('id')", "dictsort", "items|list", "first|default('x')", "last|default('x')", "urlencode", "string|wordwrap(9)", "xmlattr", "indent", "sort(attribute='nope')", "min(true, 'name')", "reverse|first")),
            lambda: "[%s, %s, %s][%s]" % (self.expr(0), self.expr(0), self.expr(0), self.slice()),
            lambda: "(%s,) + %s" % (self.expr(0), self.pick("(1, 2)", "()", "[1]")),
            lambda: "(%s %s %s)" % (self.list(d - 1), self.pick("<", "==", "in", "and", "or", "~", "*"), self.list(0)),
            lambda: "%s|sort(%s)" % (self.pick("ls", "l", "['é', 'z', 'E', 'a']", "[true, 0, 2.5]", "[(1, 'b'), (1, 'a')]", "[[2], [1, 5]]"), self.pick("", "true", "case_sensitive=true", "reverse=true, attribute=0")),
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
            lambda: "{'x': {'y': %s}, 'l': [%s, {}],}" % (self.expr(d - 1), self.expr(0)),
            lambda: "dict(%s.items(), **{'q': %s})" % (self.pick("d", "{}", "{'a': 1}"), self.expr(0)),
            lambda: "{}.fromkeys(%s%s)" % (self.list(0), self.pick("", ", 0")),
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
            lambda: "%s is %s %s" % (self.pick("i", "s", "f", "nil", "missing", "d", "l", "big"), self.pick("", "not"), self.pick(*TESTS)),
            lambda: "(%s) is %s(%s)" % (self.expr(d - 1), self.pick("eq", "ne", "lt", "ge", "in", "sameas", "divisibleby", "greaterthan"), self.pick("2", "'a'", "l", "none", "true", "0", "1.0")),
            lambda: "%s %s %s %s %s" % (self.number(0), self.pick("<", "==", "in", "not in", "!="), self.pick("l", "3", "[1, 2]", "i"), self.pick(">", "==", "in", "!="), self.pick("ll", "2", "[l]", "z")),
            lambda: "not %s %s %s" % (self.expr(0), self.pick("in", "==", "is not none and", "is defined or"), self.any_sized(0)),
            lambda: "'%s' is %s" % (self.pick("upper", "nope", "odd", "map", ">="), self.pick("filter", "test")),
            lambda: "(%s and %s or not %s)" % (self.expr(d - 1), self.boolean(0), self.expr(0)),
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
            lambda: "(%s if %s else %s if %s else %s)" % (self.expr(0), self.boolean(0), self.expr(0), self.boolean(0), self.expr(0)),
            lambda: "%s.%s(%s)" % (self.dict(d - 1), self.pick("setdefault", "get", "pop", "update", "popitem", "clear", "keys", "values", "items", "copy", "nope"), self.pick("", "'a'", "'zz', 1", "{'a': 5}", "a=1", "[('k', 1)]")),
            lambda: "(%s).%s(%s)" % (self.pick("[3, 1, 2]", "['b', 'a']", "[]", "[1, 'x']", "(1, 2, 1)"), self.pick("pop", "append", "extend", "insert", "remove", "reverse", "sort", "index", "count", "clear", "copy"), self.pick("", "0", "1", "'a'", "[1]", "0, 5", "reverse=true", "-1")),
            lambda: "%s|%s" % (self.dict(d - 1), self.pick("xmlattr", "urlencode", "pprint", "list", "length", "first", "last", "dictsort(by='value')", "items|list", "tojson|length", "sort", "join", "map('upper')|list", "sum", "min", "string", "dictsort(case_sensitive=true, reverse=true)", "default(1)", "reverse|list", "batch(1)|list")),
            lambda: "%s%s" % (self.pick("rows", "ll", "d", "s", "range(9)", "'abc'", "(1, 2, 3)", "d.keys()", "d.values()|list"), self.pick("[0]", "[-1]", "['a']", "[1:]", "[::-1]", "[none]", "[1.0]", "[true]", "[:2][0]", ".0", ".items", "['id']", "[i]", "['0']", "[[0]]", "[0][0]", "[5:1:-2]")),
            lambda: self.pick("range(5)|sum", "range(3)|list", "range(3)[1]", "range(5)[::2]", "range(2, 9, 3)|string", "range(3) == range(3)", "2 in range(3)", "range(3)|length", "range(3)|reverse|list", "range(3).index(1)", "dict", "namespace(a=1).a", "namespace(d).b", "namespace() is defined", "cycler(1, 2).next()", "joiner('|')()", "lipsum(n=0)", "lipsum(2, false)|length > 50",
                              "namespace(a=1)", "[namespace({'b': 2})]", "cycler('a').current", "range(1, 2, 0)", "range('a')", "range(1.5)", "(range(3)|map('string'))|join", "d.items()|list", "d.keys()", "d.values()", "d.items()", "[d.keys()]", "{}.items()"),
            lambda: "(%s)|attr(%s)|string" % (self.dict(0), self.pick("'a'", "'zz'")),
            lambda: "%s|map('upper')" % self.pick("ls", "t") + self.pick("|first", "|join", "|length", "|last"),
            lambda: self.number(d) if not self.loops else "loop.%s" % self.pick("index", "first", "last", "length", "revindex", "revindex0", "depth", "previtem", "nextitem", "cycle('a', 'b')", "changed(i)",
                                                                                  "depth0", "index0", "previtem|default('-')", "cycle(*l)", "changed(1, 2)", "changed()", "nope", "cycle()", "index * 2"),
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
            self.with_, self.do, self.comment, self.raw, self.namespace, self.print_, self.recursion, self.macro_object, self.deep,
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

    def recursion(self):
        """A recursive loop."""
        tree = self.pick("[{'n': 1, 'c': [{'n': 2}, {'n': 3, 'c': [{'n': 4}]}]}, {'n': 5}]", "[{'n': 'a', 'c': []}]", "[]")
        return ("{% for x in " + tree + self.pick("", " if x.n") + " recursive %}" + "<{{ x.n }}{{ loop.%s }}" % self.pick("index", "depth", "depth0", "last", "first", "length", "revindex0") +
                self.pick("{{ loop(x.c) }}", "{% if x.c %}{{ loop(x.c) }}{% endif %}", "{{ loop(x.c|default([])) }}", "{{- loop(x.c or []) -}}") + ">" + self.pick("", "{% else %}none") + "{% endfor %}")

    def macro_object(self):
        """What a macro tells of itself, and macros in macros."""
        return self.pick(
            "{% macro mo(a, b=2) %}{{ kwargs }}{% endmacro %}{{ mo.name }}{{ mo.arguments }}{{ mo.catch_kwargs }}{{ mo.catch_varargs }}{{ mo.caller }}{{ mo(1, c=3) }}",
            "{% macro mo(a) %}{% macro mi(b) %}[{{ a }}{{ b }}]{% endmacro %}{{ mi(a ~ 1) }}{{ mi('x') }}{% endmacro %}{{ mo(" + self.expr(1) + ") }}",
            "{% macro mo(n) %}{{ n }}{% if n > 0 %},{{ mo(n - 1) }}{% endif %}{% endmacro %}{{ mo(3) }}{{ mo(0)|upper }}",
            "{% macro mo() %}{{ varargs|sum }}{{ kwargs|dictsort }}{% endmacro %}{{ mo(1, 2, *[3], x=1, **{'y': " + self.expr(0) + "}) }}",
            "{% macro mo(a, b=a, c='z') -%} {{ a }}{{ b }}{{ c }} {%- endmacro %}{{ mo() }}|{{ mo(1) }}|{{ mo(c=" + self.expr(0) + ", a=2) }}|{{ mo(1, 2, 3, 4) }}",
            "{% set f = s.upper %}{{ f() }}{% set g = l.append %}{% do g(9) %}{{ l }}{{ [s.lower, s.upper][1]() }}",
            "{% macro mo(f) %}{{ f('q') }}{% endmacro %}{% macro mp(x) %}<{{ x }}>{% endmacro %}{{ mo(mp) }}{{ {'k': mp}.k(1) }}",
            "{% macro mo() %}{{ caller('a', 'b') }}{% endmacro %}{% call(x, y='d') mo() %}{{ x }}{{ y }}{% call(z) mo() %}{{ z }}{{ x }}{% endcall %}{% endcall %}",
            "{% macro mo() %}{% if caller %}y{{ caller() }}{% else %}n{% endif %}{% endmacro %}{{ mo() }}{% call mo() %}c{% endcall %}",
            "{% macro mo(items) %}{% for x in items %}{{ caller(x, loop.index) }}{% if not loop.last %}, {% endif %}{% endfor %}{% endmacro %}{% call(v, n) mo(" + self.list(1) + ") %}{{ n }}={{ v }}{% endcall %}")

    def deep(self):
        """Scopes: what is set where, and what is seen where."""
        return self.pick(
            "{% set v = 1 %}{% for x in l %}{{ v }}{% set v = x %}{{ v }}{% endfor %}{{ v }}",
            "{% set v = 1 %}{% if yes %}{% set v = 2 %}{% endif %}{{ v }}{% with %}{% set v = 3 %}{{ v }}{% endwith %}{{ v }}",
            "{% for x in l %}{% for y in ls %}{{ loop.index }}{{ loop.revindex }}{% endfor %}{{ loop.index }}{% endfor %}",
            "{% set ns = namespace(found=false) %}{% for x in l %}{% if x == 1 %}{% set ns.found = x %}{% endif %}{% endfor %}{{ ns.found }}{{ ns.nope }}{{ ns['found'] }}",
            "{% set ns = namespace() %}{% set ns.t %}a{{ 1 }}{% endset %}{{ ns.t }}{% set ns.a = 1 %}{{ ns.a }}{{ ns.b }}",
            "{% for k, v in d.items() if v is not mapping %}{{ k }}{{ loop.first }}{{ v }}{% if loop.index > 2 %}{% break %}{% endif %}{% else %}e{% endfor %}",
            "{% for (a, b), c in [((1, 2), 3), ('xy', 4)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
            "{% set a, (b, c) = 1, (2, 3) %}{{ a }}{{ b }}{{ c }}", "{% set a, b = [1] %}", "{% set a = b = 1 %}", "{% for x in 5 %}{% endfor %}", "{% for a, b in [1] %}{% endfor %}",
            "{% set x %}{% for y in l %}{{ y }}{% endfor %}{% endset %}{{ x|length }}{{ x }}", "{% set x | replace('a', 'b') | upper %}banana{% endset %}{{ x }}",
            "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}", "{% filter upper | trim %} a{{ s }} {% endfilter %}", "{%- if nil -%} a {%- elif no -%} b {%- else -%} c {%- endif -%} d",
            "  {%- for x in l -%}  {{ x }}  {%+ endfor -%}\n x", "{{- 'a' -}} \n {{- 'b' }}", "a {#- c -#} b {#+ d +#} e", "{% raw %}{{ a }}{% endraw %}{{ '{{' }}{{ '}}' }}{{ '{%' }}", "{%raw%}x{%endraw%}{{1}}{%if 1%}y{%endif%}",
            "{% do d.update({'n': 1}) %}{{ d.n }}{% do l.sort() %}{{ l }}{% do ls.reverse() %}{{ ls }}", "{% do l.pop(0) %}{{ l }}{% do d.pop('a') %}{{ d }}{% do d.setdefault('q', []).append(1) %}{{ d.q }}",
            "{% with a = 1, b = a %}{{ a }}{{ b }}{% endwith %}", "{% if missing.x is defined %}a{% endif %}{{ missing.x }}", "{{ missing }}{{ missing|length }}{{ missing|list }}{{ missing|upper }}{% for x in missing %}{% endfor %}", "{{ loop }}",
            "{% macro a() %}{{ v }}{% endmacro %}{% set v = 5 %}{{ a() }}{% for v in l %}{{ a() }}{% endfor %}", "{% for x in l %}{% macro q() %}{{ x }}{% endmacro %}{{ q() }}{% endfor %}{{ q is defined }}",
            "{% set x = [] %}{% for i in range(3) %}{{ x.append(i) or '' }}{% endfor %}{{ x }}", "{{ (1, 2)[0], 3 }}", "{{ 1, }}", "{{ () }}", "{{ [1,] }}{{ {1: 2,} }}", "{{ 'a' 'b' ~ 'c' }}", "{{ \"x'y\" }}{{ 'x\\'y' }}{{ '\\x41\\u00e9\\n' }}", "{{ not not 1 }}{{ not 1 == 2 }}{{ -1 ** 2 }}{{ (-1) ** 2 }}{{ 2 ** 3 ** 2 }}",
            "{{ 1 if 0 }}{{ 1 < 2 < 3 }}{{ 1 < 3 > 2 }}{{ 1 == 1.0 == true }}{{ 'a' < 'b' }}{{ [1, 2] < [1, 3] }}{{ (1,) < (1, 2) }}", "{{ true + true }}{{ true ~ 1 }}{{ none ~ 'x' }}{{ [1] ~ {} }}", "{{ 7 // 2 }}{{ -7 // 2 }}{{ -7 % 3 }}{{ 7.5 // 2 }}{{ 7.5 % -2 }}{{ 1 / 3 }}{{ 2 ** -1 }}{{ 10 / 5 }}")

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
            lambda: "{{ [%s, {'k': %s}, (%s,)] }}" % (self.expr(1), self.expr(1), self.expr(0)),
            lambda: "{{ {'a': %s, 'b': [%s]} }}" % (self.expr(1), self.expr(0)),
            lambda: "{{ %s }}{{ %s }}" % (self.expr(0), self.expr(0)),
            lambda: "{%% macro m(a) %%}{{ a|string }}{%% endmacro %%}{{ m(%s)%s }}" % (self.expr(1), mark),
            lambda: "%s{{ %s }}%s" % (self.pick("", " ", "\n", "{# c #}"), self.expr(1), self.pick("", " ", "\n", "{# c #}")),
            lambda: "{{ %s if %s else %s }}" % (self.expr(0), self.boolean(0), self.expr(0)),
            lambda: "{%% if %s %%}{{ %s }}{%% endif %%}" % (self.boolean(0), self.expr(1)),
            lambda: "{{ (%s)|%s%s }}" % (self.expr(1), self.pick("list", "string", "join", "tojson|string", "default([])", "length", "first", "int", "map('string')|list"), mark),
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


def as_markupsafe_3():
    """Before version 3, methods escaped more of their arguments, and some gave
    a plain string."""
    def wrapped(name, escaped):
        def method(self, *args, **kwargs):
            args = [Markup.escape(a) if i == 1 and escaped else a for i, a in enumerate(args)]
            return Markup(getattr(str, name)(self, *args, **kwargs))
        return method

    def parts(name):
        return lambda self, sep: tuple(map(Markup, getattr(str, name)(self, sep)))

    for name in ("capitalize", "casefold", "expandtabs", "lower", "lstrip", "removeprefix", "removesuffix", "rstrip",
                 "strip", "swapcase", "title", "translate", "upper", "zfill", "__getitem__"):
        setattr(Markup, name, wrapped(name, False))
    for name in ("center", "ljust", "replace", "rjust"):
        setattr(Markup, name, wrapped(name, True))
    for name in ("partition", "rpartition"):
        setattr(Markup, name, parts(name))


if "removeprefix" not in Markup.__dict__:
    as_markupsafe_3()


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
        "datetime": {n: getattr(datetime, n) for n in ("date", "datetime", "time", "timedelta", "tzinfo")},
        "pytz": {n: getattr(pytz, n) for n in ("timezone", "utc", "FixedOffset")} if pytz else {},
        "re": {n: getattr(re, n) for n in ("compile", "escape", "findall", "finditer", "fullmatch", "match", "search", "split", "sub", "subn", "A", "I", "M", "S", "X", "IGNORECASE")},
        "itertools": {n: getattr(itertools, n) for n in (
            "accumulate", "chain", "combinations", "combinations_with_replacement", "compress", "count", "cycle", "islice",
            "permutations", "product", "repeat", "starmap", "tee", "zip_longest")},
    }
    return {"modules": modules, "set": set, **convert(MORE)}


# A set's order, a complex number, ...
MEANT = re.compile(r" at 0x[0-9a-f]+|\d[-+]?[0-9.e+-]*j\b|Decimal\('(NaN|-?Inf)|<module|<class|<method|<function|<bound|IsoCal|<itertools|built-in", re.I)


class Printed:
    """What is printed, which need not be what is seen: of a text with an
    object's address there may be left its length."""
    meant = False

    def look(self, value):
        self.meant = self.meant or MEANT.search(str(value)) is not None
        return value


printed = Printed()


def make_environment(native):
    env = (NativeSandbox if native else sandbox.SandboxedEnvironment)(extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols"])
    if native:
        env.filters.update(as_text=TextMark, as_bool=BoolMark, as_native=LiteralMark, as_number=NumberMark)
    else:
        env.finalize = printed.look
    return env


def texts(text):
    return ("meant" if printed.meant or MEANT.search(text) else "text", text)


def reference(env, source, args):
    signal.alarm(2)
    try:
        # a fresh context: templates change it
        context = json.loads(json.dumps(CONTEXT))
        printed.meant = False
        template = env.from_string(source)
        if not args.run:
            return texts(template.render(jsonb_order(context)))
        context.update(more_context())
        if not args.native:
            return texts(template.render(context))
        return texts(repr(native_value(list(template.root_render_func(template.new_context(context))))))
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



# Jinja2 makes an undefined of such a slice, but only of constants.
LESS = re.compile(r"complex numbers are|contain character 0|object cannot be sliced")


def compare(source, want, got):
    """None: equal; otherwise "skip" or "differs"."""
    if got["kind"] == "error" and LESS.search(got["text"]):
        return "skip"
    if want[0] in ("timeout", "meant") or (got["kind"] == "error" and got["state"] in ("22003", "54000", "54001")):
        return "skip"
    if want[0] == "error":
        return None if got["kind"] == "error" else "differs"
    if got["kind"] == "text" and got["text"] == want[1]:
        return None
    return "differs"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=5000)
    parser.add_argument("--damage", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--file", help="templates to compare instead of generated ones")
    parser.add_argument("--show", type=int, default=20, help="differences to print")
    parser.add_argument("--run", help="the program jinja_run, instead of psql")
    parser.add_argument("--native", action="store_true", help="compare values, not texts")
    parser.add_argument("psql", nargs="*", help="arguments of psql")
    args = parser.parse_args()
    signal.signal(signal.SIGALRM, on_alarm)
    env = make_environment(args.native)
    rng = random.Random(args.seed)
    more = args.run is not None
    if args.file:
        templates = open(args.file, encoding="utf-8").read().splitlines()
    else:
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
