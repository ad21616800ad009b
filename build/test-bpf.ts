/** Tests of the verdict: packet in, verdict, reason and side effects out. */
import { runNativeSuite } from './native-suite.ts';
import { isMain } from './stamp.ts';

if (isMain(import.meta.url)) process.exitCode = runNativeSuite('bpf', 'bpf/test/vitest.config.ts');
