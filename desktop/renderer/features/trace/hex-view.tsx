import { bytesOf, packetFields } from './packet-fields.ts';
import type { PacketField } from './packet-fields.ts';

const perLine = 16;
/** Lines drawn; what policy judges stands in the first ones. */
const linesMax = 24;

const toneOf = (field: PacketField | undefined): string => {
  if (field === undefined) return 'field-0';
  if (field.name.startsWith('source')) return 'field-1';
  return field.name.startsWith('destination') ? 'field-2' : field.name === 'VLAN' || field.name === 'protocol' ? 'field-3' : 'field-0';
};

const hexOf = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

interface HexViewProps {
  readonly hex: string;
  /** The same packet before or after: bytes that differ are marked. */
  readonly other?: string | undefined;
  readonly testId?: string;
}

/** The bytes of a packet with the fields that decide marked. */
export const HexView = ({ hex, other, testId = 'trace-bytes' }: HexViewProps) => {
  const compared = other === undefined ? undefined : bytesOf(other);
  const bytes = bytesOf(hex);
  const fields = packetFields(bytes);
  const fieldAt = (index: number): PacketField | undefined => fields.find(({ first, end }) => index >= first && index < end);
  const lines = Math.min(linesMax, Math.ceil(bytes.length / perLine));
  return (
    <div className="hex" role="group" aria-label={`${String(bytes.length)} bytes`} data-testid={testId}>
      {Array.from({ length: lines }, (_, line) => (
        <div key={line}>
          <span className="offset">{hexOf(line * perLine, 4)}</span>
          {Array.from(bytes.slice(line * perLine, (line + 1) * perLine), (byte, position) => {
            const index = line * perLine + position;
            const field = fieldAt(index);
            const isChanged = compared !== undefined && compared[index] !== byte;
            return (
              <span key={position} className={toneOf(field)} title={isChanged ? `${field?.name ?? 'byte'}, changed` : field?.name}>
                <span className={isChanged ? 'changed' : undefined}>{hexOf(byte, 2)}</span>{' '}
              </span>
            );
          })}
        </div>
      ))}
      <div className="line wrap" style={{ gap: 14, marginTop: 6 }}>
        <span className="field-1">source</span>
        <span className="field-2">destination</span>
        <span className="field-3">VLAN, protocol</span>
        {compared === undefined ? null : <span className="changed">changed</span>}
        <span className="dim">{bytes.length} bytes</span>
      </div>
    </div>
  );
};
