/** The packet as it comes and as it leaves, side by side; what the host rewrote is marked. */
import type { Trace } from '../../../bridge/model.ts';
import { Card } from '../../widgets/card.tsx';
import { HexView } from './hex-view.tsx';

export const TraceBytes = ({ trace }: { readonly trace: Trace }) => {
  const { hex, outputHex } = trace;
  const isRewritten = outputHex !== null && outputHex.toLowerCase() !== hex.toLowerCase();
  return (
    <Card title="Bytes" aside={<span>{wayText(trace, isRewritten)}</span>} testId="trace-bytes-card">
      {isRewritten ? (
        <div className="hex-pair">
          <div>
            <h3>As it comes</h3>
            <HexView hex={hex} other={outputHex} />
          </div>
          <div>
            <h3>As it leaves</h3>
            <HexView hex={outputHex} other={hex} testId="trace-output" />
          </div>
        </div>
      ) : (
        <HexView hex={hex} />
      )}
    </Card>
  );
};

/** What becomes of the bytes, in words. */
const wayText = ({ interface: name, outcome, outputHex }: Trace, isRewritten: boolean): string => {
  const arrives = `arrives on ${name}`;
  if (outcome === 'drop' || outputHex === null) return `${arrives}, nothing leaves`;
  return isRewritten ? arrives : `${arrives}, leaves as it came`;
};
