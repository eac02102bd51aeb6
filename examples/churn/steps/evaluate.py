"""Judges a model on held-out customers: weighted F1, accuracy, area under the ROC curve."""

import argparse
import json
import os
from pathlib import Path

LABEL = "churn"


def main() -> None:
    arguments = parse_arguments()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow.sklearn
    import pandas

    test = pandas.read_parquet(arguments.test)
    metrics, confusion = judge(mlflow.sklearn.load_model(arguments.model), test)
    Path(arguments.metrics).write_text(json.dumps(metrics, indent=2) + "\n")
    Path(arguments.report).write_text(write_report(metrics, confusion))
    print(f"weighted F1 {metrics['f1']:.4f}, accuracy {metrics['accuracy']:.4f}, AUC {metrics['auc']:.4f} on {metrics['rows']} rows")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="MLflow model directory")
    parser.add_argument("--test", required=True, help="Parquet file with the column churn")
    parser.add_argument("--metrics", required=True, help="JSON file to write")
    parser.add_argument("--report", required=True, help="Markdown file to write")
    return parser.parse_args()


def judge(model, test):
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, roc_auc_score

    features, labels = test.drop(columns=LABEL), test[LABEL]
    predicted = model.predict(features)
    metrics = {
        "f1": float(f1_score(labels, predicted, average="weighted")),
        "accuracy": float(accuracy_score(labels, predicted)),
        "auc": float(roc_auc_score(labels, model.predict_proba(features)[:, 1])),
        "rows": len(test),
    }
    return metrics, confusion_matrix(labels, predicted, labels=[0, 1])


def write_report(metrics: dict[str, float], confusion) -> str:
    (stayed_right, stayed_wrong), (left_wrong, left_right) = confusion.tolist()
    return f"""# Churn model on {metrics["rows"]} held-out customers

| metric | value |
| --- | --- |
| F1, weighted | {metrics["f1"]:.4f} |
| accuracy | {metrics["accuracy"]:.4f} |
| area under the ROC curve | {metrics["auc"]:.4f} |

| | predicted to stay | predicted to leave |
| --- | --- | --- |
| **stayed** | {stayed_right} | {stayed_wrong} |
| **left** | {left_wrong} | {left_right} |

{left_right} of the {left_wrong + left_right} customers who left were found.
"""


if __name__ == "__main__":
    main()
