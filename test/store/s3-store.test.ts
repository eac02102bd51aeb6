import { createS3Store } from '../../src/adapters/s3-store/create-s3-store.js';
import { describeArtifactStore } from './contract.js';
import { s3Program, startS3Server } from './s3-server.js';

if (s3Program !== undefined)
  describeArtifactStore('S3', async () => {
    const server = await startS3Server();
    return { store: createS3Store(server.storeOptions()), stop: server.stop };
  });
