"""Checks a table of customers against schema.yaml: rows, nulls, columns, types, ranges, allowed values.

Exits 65 with the list of broken expectations when there are any. The table's schema is the one that shares most columns
with the data, unless --table names it.
"""

import argparse
import json
import os
import sys
from pathlib import Path

EXIT_BAD_DATA = 65  # EX_DATAERR: the input is wrong, another try does not help


def main() -> None:
    arguments = parse_arguments()
    import pandas
    import yaml

    data = pandas.read_parquet(arguments.data)
    rules = yaml.safe_load(Path(arguments.schema).read_text())
    table = arguments.table or nearest_table(rules, set(data.columns))
    if table not in rules["tables"]:
        sys.exit(f"{arguments.schema} has no table {table}; it has {', '.join(rules['tables'])}.")

    broken = broken_expectations(data, rules, table)
    report = {"table": table, "rows": len(data), "columns": data.shape[1], "passed": not broken, "broken": broken}
    Path(arguments.report).write_text(json.dumps(report, indent=2) + "\n")
    if broken:
        print(f"{len(broken)} broken expectation{'s' if len(broken) > 1 else ''} in {table} ({len(data)} rows):")
        for line in broken:
            print(f"- {line}")
        sys.exit(EXIT_BAD_DATA)
    data.to_parquet(arguments.output, index=False)
    print(f"{table}: {len(data)} rows and {data.shape[1]} columns hold every expectation")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="Parquet file to check")
    parser.add_argument("--schema", required=True, help="YAML file with the expectations")
    parser.add_argument("--table", help="name of the table in the schema")
    parser.add_argument("--report", required=True, help="JSON file to write, also when expectations are broken")
    parser.add_argument("--output", required=True, help="Parquet file to write when all expectations hold")
    return parser.parse_args()


def nearest_table(rules: dict, columns: set) -> str:
    return max(rules["tables"], key=lambda name: len(columns & rules["tables"][name]["columns"].keys()))


def broken_expectations(data, rules: dict, table: str) -> list[str]:
    """One line per broken expectation, in the order: table, then columns as the schema lists them."""
    os.environ.setdefault("DISABLE_PANDERA_IMPORT_WARNING", "True")
    from pandera.errors import SchemaErrors

    columns = rules["tables"][table]["columns"]
    try:
        build_schema(rules, columns).validate(data, lazy=True)
    except SchemaErrors as errors:
        return describe(errors.schema_errors, data, list(columns))
    return []


def build_schema(rules: dict, columns: dict):
    from pandera.pandas import Check, Column, DataFrameSchema

    least = rules["rows"]["more_than"]
    enough_rows = Check(lambda frame: len(frame) > least, error=f"more than {least} rows")
    null_rate = rules["null_rate"]["less_than"]
    return DataFrameSchema(
        # Nulls have their own rule: a few are allowed, whatever the column.
        {name: Column(nullable=True, checks=column_checks(rule, null_rate)) for name, rule in columns.items()},
        checks=[enough_rows],
        strict=True,
    )


def column_checks(rule: dict, null_rate: float) -> list:
    from pandas.api import types
    from pandera.pandas import Check

    is_type = {
        "integer": types.is_integer_dtype,
        "number": types.is_numeric_dtype,
        "text": lambda values: types.is_string_dtype(values.dropna()),
    }[rule["type"]]
    checks = [
        Check(lambda values: bool(is_type(values)), error=f"type {rule['type']}", ignore_na=False),
        Check(
            lambda values: bool(values.isna().mean() < null_rate),
            error=f"null rate below {null_rate:.0%}",
            ignore_na=False,
        ),
    ]
    if "min" in rule:
        checks.append(Check.in_range(rule["min"], rule["max"], error=f"range {rule['min']} to {rule['max']}"))
    if "allowed" in rule:
        checks.append(Check.isin(rule["allowed"], error=f"one of {', '.join(map(str, rule['allowed']))}"))
    return checks


def describe(errors: list, data, order: list[str]) -> list[str]:
    lines: dict[str, list[str]] = {}
    for error in errors:
        reason = error.reason_code.name
        if reason == "COLUMN_NOT_IN_DATAFRAME":
            lines.setdefault(error.failure_cases, []).append("column is missing")
        elif reason == "COLUMN_NOT_IN_SCHEMA":
            lines.setdefault(error.failure_cases, []).append("column is not in the schema")
        elif reason == "CHECK_ERROR":
            continue  # a range cannot be checked on a column of the wrong type, which has a line already
        else:
            column = error.schema.name if error.schema.name in data.columns else None
            lines.setdefault(column or "table", []).append(found(error, data, column))
    ranked = sorted(lines, key=lambda name: (name != "table", order.index(name) if name in order else len(order)))
    return [f"{name}: {line}" for name in ranked for line in lines[name]]


def found(error, data, column: str | None) -> str:
    expectation = error.check.error
    if column is None:
        return f"expected {expectation}, found {len(data)}"
    if expectation.startswith("type"):
        return f"expected {expectation}, found {data[column].dtype}"
    if expectation.startswith("null rate"):
        return f"expected {expectation}, found {data[column].isna().mean():.1%}"
    values = error.failure_cases["failure_case"]
    examples = ", ".join(map(str, values.drop_duplicates().head(3)))
    return f"expected {expectation}, found {examples} ({len(values)} of {len(data)} rows)"


if __name__ == "__main__":
    main()
