/** What an operator types to begin a rollout, and the request it makes. Pure. */
import type { InputOf } from '../../../bridge/contract.ts';
import type { Fault } from '../../widgets/field.tsx';

export type BeginRequest = InputOf<'rollouts.plan'>;

/** Texts as they are typed; the empty one leaves a number to the core. */
export interface BeginForm {
  readonly name: string;
  readonly policy: string;
  readonly hostIds: readonly string[];
  readonly waves: string;
  readonly maxUnavailable: string;
  readonly failuresMax: string;
  readonly soakSeconds: string;
  readonly baselineSeconds: string;
  readonly dropFactor: string;
  readonly dropFloorPps: string;
  readonly rollback: 'wave' | 'all';
  readonly offline: 'skip' | 'intent';
}

export const firstForm: BeginForm = {
  name: 'Policy',
  policy: '',
  hostIds: [],
  waves: '0, 5, 25, 100',
  maxUnavailable: '',
  failuresMax: '0',
  soakSeconds: '60',
  baselineSeconds: '15',
  dropFactor: '2',
  dropFloorPps: '10',
  rollback: 'wave',
  offline: 'skip',
};

type Field = keyof BeginForm;
export type BeginFaults = Readonly<Partial<Record<Field, readonly Fault[]>>>;

/** The request, or what is wrong with each field. */
export const beginRequestOf = (form: BeginForm): { readonly request: BeginRequest | null; readonly faults: BeginFaults } => {
  const faults: Partial<Record<Field, readonly Fault[]>> = {};
  const fault = (field: Field, message: string): void => void (faults[field] = [{ severity: 'error', message }]);
  const number = (field: Field & keyof typeof ranges): number | undefined => {
    const text = form[field].trim();
    const { min, max, isWhole } = ranges[field];
    const value = Number(text);
    if (text === '') return undefined;
    if (Number.isFinite(value) && value >= min && value <= max && (!isWhole || Number.isInteger(value))) return value;
    fault(field, `${isWhole ? 'A whole number' : 'A number'} from ${String(min)} to ${String(max)}.`);
    return undefined;
  };
  const waves = form.waves.split(/[\s,]+/).filter((share) => share !== '');
  const shares = waves.map(Number);
  const isRising = shares.every((share, index) => share >= 0 && share <= 100 && (index === 0 || share > (shares[index - 1] ?? 0)));
  if (!isRising || shares.at(-1) !== 100) fault('waves', 'Rising percentages that end with 100; 0 is one host. For instance 0, 25, 100.');
  if (form.name.trim() === '') fault('name', 'Give it a name.');
  if (form.policy.trim() === '') fault('policy', 'Choose a policy.');
  if (form.hostIds.length === 0) fault('hostIds', 'Choose at least one host.');
  const request: BeginRequest = {
    name: form.name.trim(),
    policy: form.policy,
    hostIds: [...form.hostIds],
    waves: shares,
    maxUnavailable: number('maxUnavailable'),
    failuresMax: number('failuresMax'),
    soakSeconds: number('soakSeconds'),
    baselineSeconds: number('baselineSeconds'),
    gates: { dropFactor: number('dropFactor'), dropFloorPps: number('dropFloorPps') },
    rollback: form.rollback,
    offline: form.offline,
  };
  return { request: Object.keys(faults).length === 0 ? request : null, faults };
};

/** As the contract has them. */
const ranges = {
  maxUnavailable: { min: 1, max: 5_000, isWhole: true },
  failuresMax: { min: 0, max: 5_000, isWhole: true },
  soakSeconds: { min: 0, max: 3_300, isWhole: true },
  baselineSeconds: { min: 0, max: 300, isWhole: true },
  dropFactor: { min: 0, max: 1_000, isWhole: false },
  dropFloorPps: { min: 0, max: 1_000_000, isWhole: false },
} as const;
