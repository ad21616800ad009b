/** Tests of the native engine: loading, adopting, attaching, swapping, refusing. */
import { runNativeSuite } from './native-suite.ts';
import { isMain } from './stamp.ts';

if (isMain(import.meta.url)) process.exitCode = runNativeSuite('native', 'native/test/vitest.config.ts');
