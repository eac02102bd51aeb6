"""Trains a gradient-boosting classifier, 20 trees at a time, and saves it as an MLflow model directory.

After every 20 trees it writes a checkpoint and appends a line to the metrics stream, so that a training that was killed
goes on where it was and ends with the same model. SIGTERM stops it after the current tree, with a checkpoint, exit 143.
Logs to MLflow when MLFLOW_TRACKING_URI is set; a server that is away does not stop the training.
"""

import argparse
import hashlib
import json
import logging
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

LABEL = "churn"
BLOCK = 20
EXIT_TERMINATED = 128 + signal.SIGTERM


def main() -> None:
    arguments = parse_arguments()
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    say_device()
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

    import pandas

    train = pandas.read_parquet(arguments.train)
    features, labels = train.drop(columns=LABEL), train[LABEL]
    checkpoints = Checkpoints(arguments.checkpoint_dir, fingerprint(arguments))
    classifier, run_id = checkpoints.newest(arguments.trees) or (build_classifier(arguments), None)
    resumed_at = count_trees(classifier)
    if resumed_at:
        print(f"resumed from checkpoint at {resumed_at} trees", flush=True)

    stream = MetricsStream(arguments.metrics_stream, resumed_at)
    tracking = Tracking({name: getattr(arguments, name) for name in ("trees", "depth", "learning_rate", "seed")}, run_id)
    preparation = build_preparation(features)
    prepared = preparation.fit_transform(features)

    def after_block() -> None:
        curve = loss_curve(classifier)
        stream.append(curve)
        tracking.log(curve)
        checkpoints.save(classifier, tracking.run_id)
        print(f"trees {count_trees(classifier)}/{arguments.trees}  train_loss {classifier.train_score_[-1]:.4f}", flush=True)

    grow(classifier, (prepared, labels), arguments, stop, after_block)
    if count_trees(classifier) < arguments.trees:
        print(f"stopped by SIGTERM at {count_trees(classifier)} trees", flush=True)
        tracking.close("KILLED")
        sys.exit(EXIT_TERMINATED)

    metrics = summarize(classifier, prepared, labels)
    Path(arguments.metrics).write_text(json.dumps(metrics, indent=2) + "\n")
    save_model(preparation, classifier, features, arguments.model)
    tracking.log(loss_curve(classifier))
    tracking.close("FINISHED", metrics)
    print(f"model with {metrics['trees']} trees saved to {arguments.model}", flush=True)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="Parquet file with the column churn")
    parser.add_argument("--model", required=True, help="directory to write the MLflow model to")
    parser.add_argument("--metrics", required=True, help="JSON file to write")
    parser.add_argument("--trees", type=int, default=200)
    parser.add_argument("--depth", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--checkpoint-dir", default=os.environ.get("ANNEAL_CHECKPOINT_DIR"), help="default: $ANNEAL_CHECKPOINT_DIR")
    parser.add_argument("--metrics-stream", default=os.environ.get("ANNEAL_METRICS_STREAM"), help="JSON-lines file that grows while the training runs; default: $ANNEAL_METRICS_STREAM")
    parser.add_argument("--seconds-per-tree", type=float, default=0, help="slows the training down, for demonstrations")
    return parser.parse_args()


def say_device() -> None:
    if os.environ.get("CUDA_VISIBLE_DEVICES"):
        print("A GPU is visible; scikit-learn's gradient boosting trains on the CPU all the same.", flush=True)
    else:
        print("No GPU is visible: training on the CPU.", flush=True)


def build_preparation(features):
    """Fills missing numbers and says where it did; one column per level of a text column, none for an unknown level."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.preprocessing import OneHotEncoder

    numbers = list(features.select_dtypes("number").columns)
    texts = [name for name in features.columns if name not in numbers]
    fill = SimpleImputer(strategy="median", add_indicator=True)
    levels = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numbers", fill, numbers), ("texts", levels, texts)])


def build_classifier(arguments: argparse.Namespace):
    from sklearn.ensemble import GradientBoostingClassifier

    settings = {"max_depth": arguments.depth, "learning_rate": arguments.learning_rate, "random_state": arguments.seed}
    return GradientBoostingClassifier(**settings, warm_start=True)


def grow(classifier, data, arguments: argparse.Namespace, stop: threading.Event, after_block) -> None:
    """Adds trees, at least one, until there are enough or `stop` is set; blocks end at multiples of 20, also when resumed."""

    def pause(*_) -> bool:
        if arguments.seconds_per_tree > 0:
            stop.wait(arguments.seconds_per_tree)
        return stop.is_set()

    while count_trees(classifier) < arguments.trees:
        block_end = (count_trees(classifier) // BLOCK + 1) * BLOCK
        classifier.set_params(n_estimators=min(block_end, arguments.trees))
        classifier.fit(*data, monitor=pause)
        after_block()
        if stop.is_set():
            return


def count_trees(classifier) -> int:
    return len(getattr(classifier, "estimators_", ()))


def loss_curve(classifier) -> dict[int, float]:
    """Training loss at each whole block, from the first tree on: the classifier remembers it over a resumption."""
    return {step: float(classifier.train_score_[step - 1]) for step in range(BLOCK, count_trees(classifier) + 1, BLOCK)}


def summarize(classifier, prepared, labels) -> dict[str, float]:
    from sklearn.metrics import f1_score

    return {
        "train_loss": float(classifier.train_score_[-1]),
        "train_f1": float(f1_score(labels, classifier.predict(prepared), average="weighted")),
        "train_rows": len(labels),
        "trees": count_trees(classifier),
    }


def fingerprint(arguments: argparse.Namespace) -> str:
    """A checkpoint fits only the same data, settings and library; more trees may be asked of it."""
    settings = [arguments.depth, arguments.learning_rate, arguments.seed, version("scikit-learn")]
    data = hashlib.sha256(Path(arguments.train).read_bytes()).hexdigest()
    return hashlib.sha256(json.dumps([data, *settings]).encode()).hexdigest()


class Checkpoints:
    """The last two states of a training. A file is a SHA-256 and the pickle it belongs to, renamed from *.tmp when whole."""

    def __init__(self, directory: str | None, fits: str) -> None:
        self.directory = Path(directory) if directory else None
        self.fits = fits

    def newest(self, at_most: int):
        for file in self.files():
            state = self.read(file)
            if state and count_trees(state["classifier"]) <= at_most:
                return state["classifier"], state["run_id"]
        return None

    def save(self, classifier, run_id: str | None) -> None:
        if not self.directory:
            return
        file = self.directory / f"trees-{count_trees(classifier):06d}.checkpoint"
        unfinished = file.with_name(file.name + ".tmp")
        body = pickle.dumps({"fits": self.fits, "classifier": classifier, "run_id": run_id})
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(unfinished, "wb") as writer:
            writer.write(hashlib.sha256(body).digest() + body)
            writer.flush()
            os.fsync(writer.fileno())
        os.replace(unfinished, file)
        for old in self.files()[2:]:
            old.unlink(missing_ok=True)

    def files(self) -> list[Path]:
        return sorted(self.directory.glob("trees-*.checkpoint"), reverse=True) if self.directory else []

    def read(self, file: Path):
        content = file.read_bytes()
        state = pickle.loads(content[32:]) if hashlib.sha256(content[32:]).digest() == content[:32] else None
        if state and state["fits"] == self.fits:
            return state
        why = "belongs to other data or settings" if state else "is not whole"
        print(f"checkpoint {file.name} {why}: ignored", flush=True)
        return None


class MetricsStream:
    """One JSON line per block, each step once: what an earlier try wrote is kept, a half-written last line is not."""

    def __init__(self, path: str | None, resumed_at: int) -> None:
        self.path = Path(path) if path else None
        self.last = resumed_at
        if self.path and self.path.exists():
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                os.truncate(self.path, len(whole))
            self.last = max([json.loads(line)["step"] for line in whole.splitlines()], default=resumed_at)

    def append(self, curve: dict[int, float]) -> None:
        if not self.path:
            return
        with open(self.path, "a") as writer:
            for step, loss in curve.items():
                if step > self.last:
                    writer.write(json.dumps({"step": step, "metrics": {"train_loss": loss}}) + "\n")
                    self.last = step


class Tracking:
    """One MLflow run per training: a resumed training goes on in the run of its checkpoint, with the points it lacks."""

    def __init__(self, params: dict, run_id: str | None) -> None:
        self.enabled = bool(os.environ.get("MLFLOW_TRACKING_URI"))
        self.params = params
        self.run_id = run_id
        self.logged: set[int] | None = None
        self.seen_at: dict[int, int] = {}
        self.complained = False

    def log(self, curve: dict[int, float]) -> None:
        now = int(time.time() * 1000)
        for step in curve:
            self.seen_at.setdefault(step, now)
        self.attempt(lambda mlflow: self.send(mlflow, curve))

    def close(self, status: str, metrics: dict | None = None) -> None:
        if self.logged is None:
            return
        if metrics:
            summary = {name: value for name, value in metrics.items() if name != "train_loss"}  # the curve holds it
            self.attempt(lambda mlflow: mlflow.log_metrics(summary, step=metrics["trees"]))
        self.attempt(lambda mlflow: mlflow.end_run(status))

    def send(self, mlflow, curve: dict[int, float]) -> None:
        if self.logged is None:
            self.logged = self.open(mlflow)
        for step, loss in curve.items():
            if step not in self.logged:
                mlflow.log_metrics({"train_loss": loss}, step=step, timestamp=self.seen_at[step])
                self.logged.add(step)

    def open(self, mlflow) -> set[int]:
        if mlflow.active_run() is None:
            self.run_id = mlflow.start_run(run_id=self.known_run(mlflow)).info.run_id
        mlflow.log_params(self.params)
        history = mlflow.MlflowClient().get_metric_history(self.run_id, "train_loss")
        return {point.step for point in history if point.step}

    def known_run(self, mlflow) -> str | None:
        if not self.run_id:
            return None
        experiments = [os.environ.get("MLFLOW_EXPERIMENT_ID", "0")]
        found = mlflow.MlflowClient().search_runs(experiments, f"attributes.run_id = '{self.run_id}'")
        same = found and {name: str(value) for name, value in self.params.items()}.items() == found[0].data.params.items()
        return self.run_id if same else None

    def attempt(self, call) -> None:
        if not self.enabled:
            return
        # A server that is away must cost the training seconds, not the two minutes of MLflow's own retries.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        try:
            import mlflow

            call(mlflow)
        except Exception as error:  # whatever tracking meets, the model matters more
            if not self.complained:
                print(f"MLflow did not take the metrics ({type(error).__name__}): training goes on and tries again.", flush=True)
            self.complained = True


def save_model(preparation, classifier, features, directory: str) -> None:
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.pipeline import Pipeline

    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)  # it misses pip, which uv's environments lack
    pipeline = Pipeline([("prepare", preparation), ("boost", classifier)])
    packages = ("mlflow", "scikit-learn", "pandas", "numpy", "skops")
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch, "model")  # MLflow refuses a directory that an earlier, killed try left half full
        mlflow.sklearn.save_model(
            pipeline,
            whole,
            signature=infer_signature(features, pipeline.predict(features)),
            input_example=features.head(5),
            pip_requirements=[f"{name}=={version(name)}" for name in packages],
            # skops names the types in a model that it does not vouch for: trees, and the dtypes of their arrays.
            skops_trusted_types=["numpy.dtype", "sklearn.tree._tree.Tree"],
        )
        shutil.copytree(whole, directory, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
