"""Write the generated parts of the documents from the code, or tell which document differs.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`. What stands there is written
anew each time; the text around it is left as it is.

::

    python -m tools.documents [--check]
"""

import argparse
import ast
import importlib
import inspect
import itertools
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from benchmarks.results import (
    RESULTS_PATH,
    Results,
    figures_part,
    from_json,
    organizations_part,
    steps_table,
)
from jumpcloud_modules.commands.dispatch import COMMANDS
from jumpcloud_modules.commands.many import REQUESTS_A_POLL
from jumpcloud_modules.commands.module_json import VARIABLE
from jumpcloud_modules.intake import client as intake
from jumpcloud_modules.jumpcloud import auth
from jumpcloud_modules.jumpcloud import client as jumpcloud
from jumpcloud_modules.sekoia.configuration import ConnectorConfiguration, ModuleConfiguration
from jumpcloud_modules.sekoia.metrics import (
    DESCRIPTIONS,
    LABELLED_BY_ORGANIZATION,
    ORGANIZATION_LABEL,
    Description,
)
from sandbox import faults
from sandbox.harm import BY_NAME as HARMS
from sandbox.scenarios import SCENARIOS
from sandbox.target import Amount
from tools import messages, texts
from tools.manifests import environment_document

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "jumpcloud_modules"
OTHER_PACKAGES = ("sandbox", "benchmarks", "tools")
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "docs/*.md", "sandbox/README.md")
RULES_PATH = ROOT / "deploy/prometheus/jumpcloud.rules.yml"
FORMS = {"module": "account", "connector": "connector"}
MODELS: dict[str, type[BaseModel]] = {
    "module": ModuleConfiguration,
    "connector": ConnectorConfiguration,
}
PART = re.compile(r"<!-- generated: (?P<name>[a-z-]+) -->\n.*?<!-- end -->", re.DOTALL)

STANDING_FOR_SOMETHING = {"FOREVER_MS", "UNDATED_HOUR", "AHEAD"}  # rather than limiting it

ORGANIZATIONS_SHOWN = (1, 10, 50, 200)
ORGANIZATIONS_OF_A_CLUSTER = 10_000
SHARDS_SHOWN = ((60, 20), (60, 10), (300, 20), (300, 10), (300, 5))  # frequency, shards

Row = Sequence[str]


class UnknownPartError(Exception):
    """Report a marker whose name nothing is generated for."""


def documents(root: Path) -> list[Path]:
    """Return the documents that may hold generated parts, in the order of their paths."""
    return sorted(path for pattern in DOCUMENTS for path in root.glob(pattern))


def names_in(text: str) -> list[str]:
    """Return the names of a document's generated parts."""
    return [found["name"] for found in PART.finditer(text)]


def filled(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """Return a document with its generated parts written anew.

    Raises UnknownPartError for a name that is not among the parts.
    """

    def part(found: re.Match[str]) -> str:
        name = found["name"]
        if name not in parts:
            raise UnknownPartError(f"nothing generates the part {name}: see tools/documents.py")
        return f"<!-- generated: {name} -->\n\n{parts[name]()}\n\n<!-- end -->"

    return PART.sub(part, text)


def differing(root: Path) -> list[str]:
    """Return the names of the documents that are not what the code says."""
    return [str(path.relative_to(root)) for path, text, new in _all(root) if text != new]


def write(root: Path) -> None:
    """Write every document whose generated parts differ."""
    for path, text, new in list(_all(root)):
        if text != new:
            path.write_text(new, encoding="utf-8")


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Write or check the documents, and return the exit status."""
    parser = argparse.ArgumentParser(description="Write the documents' generated parts.")
    parser.add_argument("--check", action="store_true", help="only tell which document differs")
    if not parser.parse_args(arguments).check:
        write(root)
        return 0
    names = differing(root)
    for name in names:
        sys.stderr.write(f"{name} differs from the code: run make docs\n")
    return 1 if names else 0


def _all(root: Path) -> Iterator[tuple[Path, str, str]]:
    for path in documents(root):
        text = path.read_text(encoding="utf-8")
        yield path, text, filled(text, PARTS)


def table(headings: Row, rows: Iterable[Row]) -> str:
    """Lay out a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


# The configuration


def form(model: type[BaseModel]) -> str:
    """Return a form's fields, in the form's order."""
    schema = model.model_json_schema()
    rows = [_field(name, field, schema) for name, field in schema["properties"].items()]
    return table(("Key", "Default", "Allowed", "Meaning"), rows)


def _field(name: str, field: dict[str, Any], schema: dict[str, Any]) -> Row:
    default = "required" if name in schema["required"] else _quoted(field.get("default", ""))
    marks = [default, "secret" if name in schema.get("secrets", []) else ""]
    return f"`{name}`", ", ".join(filter(None, marks)), _allowed(field), field["description"]


def _allowed(field: dict[str, Any]) -> str:
    if "enum" in field:
        return ", ".join(map(_quoted, field["enum"]))
    if "minimum" not in field:
        return ""
    above = f"to {field['maximum']}" if "maximum" in field else "or more"
    return f"{field['minimum']} {above}"


def variables() -> str:
    """Return the variables of module.json, each with its default and the field that it fills."""
    rows = [
        (f"`{found['name']}`", _default(part, name, found), f"`{name}` of the {FORMS[part]}")
        for part, fields in environment_document().items()
        for name, text in fields.items()
        for found in VARIABLE.finditer(text)
    ]
    return table(("Variable", "Default", "Fills"), rows)


def _default(part: str, name: str, found: re.Match[str]) -> str:
    is_required = name in MODELS[part].model_json_schema()["required"]
    return "required" if is_required else _quoted(found["default"] or "")


def _quoted(value: object) -> str:
    return f"`{value}`" if value != "" else ""


# What is refused


def refusals(end: str, remedies: Mapping[int, str]) -> str:
    """Return what to do for each status, in the words of the log."""
    return table((f"{end} answers", "What to do"), [(str(k), v) for k, v in remedies.items()])


# What is said


def logged() -> str:
    """Return each message that is logged, with what it means and what to do."""
    found = _texts_by_beginning()
    rows = [
        (entry.level, text, entry.meaning, entry.action)
        for entry in messages.MESSAGES
        for text in found[entry.begins]
    ]
    return table(("Level", "Message", "Meaning", "What to do"), rows)


def reasons(entries: Iterable[messages.Reason]) -> str:
    """Return why something failed, as it stands in messages."""
    found = _texts_by_beginning()
    rows = [(text, e.meaning, e.action) for e in entries for text in found[e.begins]]
    return table(("It says", "Meaning", "What to do"), rows)


def configuration_faults() -> str:
    """Return why a configuration cannot work, in texts that say what to do."""
    found = _texts_by_beginning()
    return "\n".join(f"- {text}" for begin in messages.CONFIGURATION for text in found[begin])


def _texts_by_beginning() -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {begin: [] for begin in messages.beginnings()}
    for text in texts.texts():
        begin, shown = messages.beginning_of(text), f"`{texts.shown(text.words)}`"
        if begin and shown not in found[begin]:
            found[begin].append(shown)
    return found


# The code


def modules() -> str:
    """Return each module with the first line of its docstring."""
    folder = ROOT / PACKAGE
    paths = sorted(folder.rglob("*.py"), key=lambda path: str(path.relative_to(folder)))
    rows = [(f"`{path.relative_to(folder)}`", _role(path)) for path in paths]
    return table(("Module", "Role"), rows)


def folders() -> str:
    """Return each folder of code with the first line of its package's docstring."""
    product = ROOT / PACKAGE
    packages = [product, *sorted(path.parent for path in product.glob("*/__init__.py"))]
    packages += [ROOT / name for name in OTHER_PACKAGES]
    rows = [(f"`{path.relative_to(ROOT)}/`", _role(path / "__init__.py")) for path in packages]
    return table(("Folder", "What lives there"), rows)


def _role(path: Path) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0].removesuffix(".")


def constants() -> str:
    """Return the numbers that have a docstring beneath them, with what they are."""
    rows = [
        (f"`{name}.{constant}`", readable(constant, value), meaning)
        for name, constant, value, meaning in _constants()
    ]
    return table(("Constant", "Value", "Meaning"), rows)


def _constants() -> Iterator[tuple[str, str, float, str]]:
    for path in sorted((ROOT / PACKAGE).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT / PACKAGE).with_suffix("").parts)
        for constant, meaning in _described(ast.parse(path.read_text(encoding="utf-8")).body):
            value = getattr(importlib.import_module(f"{PACKAGE}.{name}"), constant)
            if isinstance(value, int | float) and constant not in STANDING_FOR_SOMETHING:
                yield name, constant, value, meaning


def _described(body: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Yield each public assignment that a text follows, with that text."""
    for statement, following in itertools.pairwise(body):
        target = _target(statement)
        if target is None or target.startswith("_") or not isinstance(following, ast.Expr):
            continue
        if isinstance(following.value, ast.Constant) and isinstance(following.value.value, str):
            yield target, " ".join(following.value.value.split()).removesuffix(".")


def _target(statement: ast.stmt) -> str | None:
    if isinstance(statement, ast.Assign):
        target: ast.expr = statement.targets[0]
    elif isinstance(statement, ast.AnnAssign):
        target = statement.target
    else:
        return None
    return target.id if isinstance(target, ast.Name) else None


DURATIONS = ((86_400, "d"), (3_600, "h"), (60, "min"))
SIZES = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))


def readable(constant: str, value: float) -> str:
    """Return a value with its unit, as the constant's name tells it."""
    if constant.endswith("_MS"):
        return _in_units(value / 1000, DURATIONS, "s")
    if "SECONDS" in constant:
        return _in_units(value, DURATIONS, "s")
    if "BYTES" in constant:
        return _in_units(value, SIZES, "bytes")
    return f"{value:,}"


def _in_units(value: float, units: Iterable[tuple[int, str]], smallest: str) -> str:
    for size, name in units:
        if value >= size and not value * 2 % size:
            return f"{value / size:,g} {name}"
    return f"{int(value) if value == int(value) else value:,} {smallest}"


# What a developer types


def targets() -> str:
    """Return the Makefile's targets in the words of `make help`."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    found = re.findall(r"^([a-z-]+):.*?## (.*)$", makefile, re.MULTILINE)
    return table(("Command", "What it does"), [(f"`make {name}`", what) for name, what in found])


def sandbox_faults() -> str:
    """Return each fault of the sandbox with its fields and the first line of its docstring."""
    rows = [(f"`{_call(kind)}`", _first_line(kind)) for kind in _kinds()]
    return table(("Fault", "What it does"), rows)


def sandbox_harms() -> str:
    """Return each harm of the sandbox, what it does, and what is due then."""
    rows = [(f"`{h.name}`", _amount(h.amount), h.does, h.should) for h in HARMS.values()]
    return table(("Harm", "Amount; by default", "What it does", "What is due then"), rows)


def sandbox_scenarios() -> str:
    """Return each scenario of the sandbox with its story."""
    return table(("Scenario", "Story"), [(f"`{one.name}`", one.story) for one in SCENARIOS])


def _amount(amount: Amount) -> str:
    bounds = f"{amount.least:,.15g} to {amount.most:,.15g}"
    return f"{amount.unit}, {bounds}; {amount.usual:,.15g}"


def _kinds() -> Iterator[type]:
    for kind in vars(faults).values():
        if isinstance(kind, type) and kind is not faults.Fault and hasattr(kind, "apply"):
            yield kind


def _call(kind: type) -> str:
    return f"{kind.__name__}({', '.join(inspect.signature(kind).parameters)})"


def _first_line(kind: type) -> str:
    return (inspect.getdoc(kind) or "").partition("\n")[0].removesuffix(".")


# What was measured


def results() -> Results:
    """Return what the benchmark found out last."""
    return from_json(RESULTS_PATH.read_text(encoding="utf-8"))


def in_short() -> str:
    """Return the figures that the README names."""
    found = results()
    cost = found.figure("Processor time of an event of 1.2 kB, over the reference's")
    memory = found.figure("Peak memory, 300,000 events of 1.2 kB behind, over that of 10,000")
    idle = found.figure("Idle at the default frequency, of one core")
    return (
        f"An event of 1.2 kB costs {cost.ours:.1f} µs of processor time, {cost.ratio:.2f} times"
        " what a plain\n"
        f"collector takes. Memory peaks at {memory.ours:.0f} MB with 300,000 events waiting, which"
        f" is {memory.ratio:.2f} times the\npeak with 10,000. Idle it takes {idle.ours:.2f} % of"
        " one core."
    )


def many_organizations() -> str:
    """Return what several organizations take, a process each: one's figures, multiplied."""
    found = results()
    titles = (
        "Peak memory, 300,000 events of 1.2 kB behind",
        "Peak memory, 3,000 events of 70 kB behind",
    )
    peak_mb = max(found.figure(title).ours for title in titles)
    idle = found.figure("Idle at the default frequency, of one core").ours
    headings = (
        "Organizations",
        "Memory, all at their peak",
        "Limits of 256 MB",
        "Idle, of one core",
    )
    rows = [
        (str(n), _mb(n * peak_mb), _mb(n * 256), f"{n * idle:.1f} %") for n in ORGANIZATIONS_SHOWN
    ]
    return table(headings, rows)


def shards() -> str:
    """Return what each shard of a cluster takes: a thousand organizations' figures in proportion.

    The memory of a process of one organization is taken to be what every process needs.
    """
    found = results()
    memory = found.of_many("Peak memory, 1,000 quiet organizations")
    processor = found.of_many("Processor, 1,000 quiet organizations polled every 60 s, of one core")
    of_one_mb = (memory.against or 0.0) / 1_000
    of_each_mb = (memory.ours - of_one_mb) / 1_000
    rows = []
    for frequency, count in SHARDS_SHOWN:
        each = ORGANIZATIONS_OF_A_CLUSTER // count
        requests = each * REQUESTS_A_POLL / frequency
        rows.append(
            (
                f"{frequency} s",
                str(count),
                f"{each:,}",
                _mb(of_one_mb + each * of_each_mb),
                f"{processor.ours * each / 1_000 * 60 / frequency:.1f} %",
                f"{requests:.0f}",
                f"{requests * count:.0f}",
            )
        )
    headings = (
        "`frequency`",
        "Shards",
        "Organizations each",
        "Memory each",
        "Of one core each",
        "Requests a second each",
        "Of all",
    )
    return table(headings, rows)


def _mb(megabytes: float) -> str:
    return f"{megabytes / 1000:.1f} GB" if megabytes >= 1000 else f"{megabytes:.0f} MB"


# What a person types


def commands() -> str:
    """Return the commands, in the words of `python main.py --help`."""
    rows = [(f"`python main.py {name}`", command.purpose) for name, command in COMMANDS.items()]
    return table(("Command", "What it is for"), rows)


# What is seen from outside


def metrics() -> str:
    """Return every metric, by its name as queries have it."""
    rows = [
        (
            f"`{described.shown_as}`",
            described.type,
            described.unit,
            ", ".join(f"`{label}`" for label in _labels(described)),
            described.documentation,
        )
        for described in sorted(DESCRIPTIONS, key=lambda described: described.shown_as)
    ]
    return table(("Metric", "Type", "Unit", "Labels", "Meaning"), rows)


def _labels(described: Description) -> tuple[str, ...]:
    of_many = (ORGANIZATION_LABEL,) if described.name in LABELLED_BY_ORGANIZATION else ()
    return (*of_many, *described.labels)


def alerts() -> str:
    """Return each alert rule under a heading of its own, in the words of its annotations."""
    groups = yaml.safe_load(RULES_PATH.read_text(encoding="utf-8"))["groups"]
    rules = (rule for group in groups for rule in group["rules"])
    return "\n\n".join(_alert(rule) for rule in rules if "alert" in rule)


def _alert(rule: Mapping[str, Any]) -> str:
    annotations, severity = rule["annotations"], rule["labels"]["severity"].capitalize()
    summary = annotations["summary"].replace('{{ or $labels.instance "any address" }}', "`…`")
    summary = summary.replace("{{ with $labels.organization }}{{ . }} at {{ end }}", "")
    summary = re.sub(r"\{\{.*?\}\}", "`…`", summary)
    fires = f"once it holds for {rule['for']}" if "for" in rule else "at once"
    return (
        f"### {rule['alert']}\n\n{_wrapped(f'{severity}, {fires}: {summary}')}\n\n"
        f"```promql\n{rule['expr']}\n```\n\n{_wrapped(annotations['description'])}"
    )


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


PARTS: Mapping[str, Callable[[], str]] = {
    "account-form": lambda: form(ModuleConfiguration),
    "connector-form": lambda: form(ConnectorConfiguration),
    "variables": variables,
    "jumpcloud-refusals": lambda: refusals("JumpCloud", jumpcloud.REMEDIES),
    "token-refusals": lambda: refusals("The token host", auth.REMEDIES),
    "intake-refusals": lambda: refusals("The intake", intake.REMEDIES),
    "messages": logged,
    "reasons": lambda: reasons(messages.REASONS),
    "set-aside": lambda: reasons(messages.SET_ASIDE),
    "configuration-faults": configuration_faults,
    "commands": commands,
    "modules": modules,
    "folders": folders,
    "constants": constants,
    "targets": targets,
    "faults": sandbox_faults,
    "harms": sandbox_harms,
    "scenarios": sandbox_scenarios,
    "figures": lambda: figures_part(results()),
    "organizations-figures": lambda: organizations_part(results()),
    "steps": lambda: steps_table(results().steps),
    "in-short": in_short,
    "metrics": metrics,
    "alerts": alerts,
    "many-organizations": many_organizations,
    "shards": shards,
}
"""What is written for each name."""


if __name__ == "__main__":
    sys.exit(main())
