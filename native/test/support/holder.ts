/**
 * A process that holds a data path, to be killed: `node holder.ts <pinPath> [interface]`. Loads or adopts, attaches, and
 * says "ready <adopted>"; then waits. With the pin path alone it only loads.
 */
import { bpfObjectPath, loadNative } from '../../index.ts';

const [pinPath = '', interfaceName] = process.argv.slice(2);
const dataPath = await loadNative().open({ objectPath: bpfObjectPath(), pinPath });
if (interfaceName !== undefined) await dataPath.attach(interfaceName);
console.log(`ready ${String(dataPath.state().adopted)}`);
setInterval(() => dataPath.takeRecords(1000), 50);
