/** Run by crash.test.ts as a process of its own: applies, confirms and takes back without end until it is killed. */
import { argv, stdout } from 'node:process';
import { systemClock } from '../../lib/clock.ts';
import { silentLogger } from '../../lib/log.ts';
import { fileActivation } from './crash-kernel.ts';
import { createRevisionControl } from './revisions.ts';

const [, , stateDir = ''] = argv;
const signal = new AbortController().signal;
const control = createRevisionControl({
  stateDir,
  activation: fileActivation(stateDir),
  clock: systemClock,
  log: silentLogger,
  raise: () => undefined,
});
await control.start(signal);
const first = control.list()[0]?.revision ?? 0;
for (let count = 0; ; count++) {
  const name = `policy-${String(first)}-${String(count)}`;
  const transactionId = `t-${name}`;
  const { revision } = await control.apply(
    {
      policyJson: name,
      generation: name,
      mappingCount: 0,
      serviceCount: 0,
      baseEtag: control.current().etag,
      transactionId,
      confirmWithinSeconds: 3600,
      author: '',
      comment: '',
    },
    signal,
  );
  stdout.write('.');
  if (count % 3 === 0) await control.rollback({ author: 'child', comment: '' }, signal);
  else await control.confirm({ revision: revision.revision, transactionId });
  stdout.write('.');
}
