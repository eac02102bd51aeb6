export { createDispatcher, type Dispatcher } from './dispatch.js';
