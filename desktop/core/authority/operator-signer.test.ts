import { describe, expect, it } from 'vitest';
import { openSigned } from '../../../proto/model/operator-signature.ts';
import { sealEnvelope } from '../../../proto/model/envelope.ts';
import { systemRandom } from '../../lib/api.ts';
import { createFleetKeys, issueOperator } from './fleet-authority.ts';
import { operatorSigner, operatorSubject } from './operator-signer.ts';

const fleetId = '01jz000000000000000000000a';

describe('the signer of an operator', () => {
  it('signs with the key that is in force when it signs, also after a renewal', async () => {
    const context = { now: Date.now(), random: systemRandom };
    let keys = await createFleetKeys({ fleetId, fleetName: 'lab', operatorName: 'Ada' }, context);
    const signer = operatorSigner(() => keys);
    const sign = () => sealEnvelope('nest.test.v1', Buffer.from('x'), [signer]);
    const keyId = (): string => sign().signatures[0]?.keyId.toString('hex') ?? '';
    const first = keyId();
    expect(keyId()).toBe(first);
    keys = { ...keys, operator: await issueOperator(keys, context) };
    expect(keyId()).not.toBe(first);
    const check = { fleetRoot: keys.root.certificate, fleetId, nowMs: Date.now(), maySign: () => true };
    expect(openSigned(sign(), 'nest.test.v1', check).subject).toBe(operatorSubject(keys));
  });
});
