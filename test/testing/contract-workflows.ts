import { createDispatcher } from '../../src/workflows/index.js';
import * as pipelines from './contract-pipelines.js';

export default createDispatcher(pipelines);
