export { checkMlflow } from '../adapters/mlflow/connect.js';
