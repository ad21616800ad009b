import type { EditLease } from '../../../proto/gen/nest/v1/config.ts';
import type { HostEditor } from '../../bridge/change-model.ts';

/** Digits that tell two devices apart. */
const deviceDigits = 8;

/** A lease as the bridge carries it. */
export const editorOf = ({ leaseId, subject, device, sinceMs }: EditLease): HostEditor => ({
  leaseId,
  operator: subject.replace(/^spiffe:\/\/[^/]+\/(?:operator|client)\//, ''),
  device: device.slice(0, deviceDigits),
  since: Number(sinceMs),
});
