"""Turns a validated churn table into a train and a test set.

The label and other yes/no columns become 1 or 0, numbers get a type that can be missing. Nothing here is learned from the
data: what is (levels of text columns, medians for missing values) belongs to the model and is fitted on the train set.
"""

import argparse
import sys

LABEL = "churn"


def main() -> None:
    arguments = parse_arguments()
    import pandas

    data = pandas.read_parquet(arguments.data)
    if LABEL not in data.columns:
        sys.exit(f"{arguments.data} has no column {LABEL}; it has {', '.join(data.columns)}.")
    features = encode(data)
    train, test = split(features, arguments.test_share, arguments.seed)
    train.to_parquet(arguments.output_train, index=False)
    test.to_parquet(arguments.output_test, index=False)
    print(f"train: {len(train)} rows, {train[LABEL].mean():.1%} churn; test: {len(test)} rows, {test[LABEL].mean():.1%} churn")
    print(f"{train.shape[1] - 1} features, {int(train.isna().sum().sum() + test.isna().sum().sum())} missing values")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="Parquet file with the column churn")
    parser.add_argument("--output-train", required=True, help="Parquet file to write")
    parser.add_argument("--output-test", required=True, help="Parquet file to write")
    parser.add_argument("--test-share", type=float, default=0.2)
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def encode(data):
    """Numbers as float64, where a missing value has a place; yes/no as 1/0; other text as it is, missing as "unknown"."""
    import pandas

    encoded = {}
    for name, column in data.items():
        if pandas.api.types.is_numeric_dtype(column):
            encoded[name] = column.astype("float64")
            continue
        text = column.astype("object").where(column.notna(), None)
        if {str(value).lower() for value in text.dropna()} <= {"yes", "no"}:
            encoded[name] = text.map(lambda value: None if value is None else float(value.lower() == "yes")).astype("float64")
        else:
            encoded[name] = text.fillna("unknown").astype("object")
    frame = pandas.DataFrame(encoded).dropna(subset=[LABEL])
    return frame.assign(**{LABEL: frame[LABEL].astype("int64")})


def split(data, test_share: float, seed: int):
    """The same rows always land on the same side, and both sides have the same share of churn."""
    test = data.groupby(LABEL).sample(frac=test_share, random_state=seed).index
    return data.drop(index=test), data.loc[test.sort_values()]


if __name__ == "__main__":
    main()
