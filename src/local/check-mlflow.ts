export { checkMlflow, type MlflowProblem } from '../adapters/mlflow/connect.js';
