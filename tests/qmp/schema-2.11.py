#!/usr/bin/env python3
"""Makes schema-2.11.json from the text of QEMU 2.11's qapi-schema.json: its facts, without its prose.

    tests/qmp/schema-2.11.py qapi-schema.json > tests/qmp/schema-2.11.json

Every definition has a line of its own there. Members are [name, type, optional], in their order; an array's type is a list
of one. A union's branches are [value of the tag, type]; the `data` of a simple union's branch stands in an object of its own.
"""

import ast
import json
import re
import sys

DEFINITION = re.compile(r"\{\s*'(command|event|struct|enum|union|alternate)'\s*:")


def members(data):
    """The members of an object, or the name of the type that has them."""
    if isinstance(data, str):
        return data
    return [[name.lstrip("*"), kind, name.startswith("*")] for name, kind in data.items()]


def definition(entry):
    """Name, kind and facts of one definition."""
    kind = next(iter(entry))
    facts = {}
    if kind == "enum":
        facts["values"] = entry["data"]
    elif kind == "union":
        facts["members"] = members(entry.get("base", {}))
        facts["tag"] = entry.get("discriminator", "type")
        facts["simple"] = "discriminator" not in entry
        facts["branches"] = [[case, branch] for case, branch in entry["data"].items()]
    else:
        facts["members"] = members(entry.get("data", {}))
        if "base" in entry:
            facts["base"] = entry["base"]
    if kind == "command":
        facts["returns"] = entry.get("returns")
        facts["open"] = not entry.get("gen", True)
    return kind, entry[kind], facts


def main():
    schema = {}
    with open(sys.argv[1], encoding="utf-8") as text:
        for line in text:
            if not DEFINITION.match(line):
                continue
            literal = re.sub(r"\bfalse\b", "False", re.sub(r"\btrue\b", "True", line))
            kind, name, facts = definition(ast.literal_eval(literal.strip()))
            schema.setdefault(kind, {})[name] = facts
    # A definition a line, so that differences can be read.
    kinds = []
    for kind, definitions in sorted(schema.items()):
        lines = [f"    {json.dumps(name)}: {json.dumps(facts, sort_keys=True)}" for name, facts in sorted(definitions.items())]
        kinds.append(f"  {json.dumps(kind)}: {{\n" + ",\n".join(lines) + "\n  }")
    print("{\n" + ",\n".join(kinds) + "\n}")


main()
