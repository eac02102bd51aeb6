export { userCacheDirectory } from '../adapters/cache-directory.js';
