import assert from 'node:assert/strict';
import { test } from 'node:test';

import { projectOption } from '../../src/cli/project-option.js';

test('a proposed command names the project that the given one named, quoted where a shell needs it', () => {
  assert.equal(projectOption({}), '');
  assert.equal(projectOption({ project: 'churn' }), ' --project churn');
  assert.equal(projectOption({ project: 'my project' }), " --project 'my project'");
});
