"""Loads a registered model from MLflow, predicts on held-out customers and prints the metrics as one JSON object.

MLFLOW_TRACKING_URI names the server. The metrics are those of evaluate.py.
"""

import argparse
import json
import os

from evaluate import judge


def main() -> None:
    arguments = parse_arguments()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow.sklearn
    import pandas

    metrics, _ = judge(mlflow.sklearn.load_model(arguments.uri), pandas.read_parquet(arguments.test))
    print(json.dumps(metrics))


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", default="models:/churn-predictor@champion")
    parser.add_argument("--test", required=True, help="Parquet file with the column churn")
    return parser.parse_args()


if __name__ == "__main__":
    main()
