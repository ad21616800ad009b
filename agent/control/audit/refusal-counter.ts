/** Keeps a hostile caller from filling the log: refusals alike are written one by one at first, then counted and written as one. */
import { emptyFact } from '../../../proto/model/audit.ts';
import type { AuditFact } from '../../../proto/model/audit.ts';
import type { Clock, Timer } from '../../lib/clock.ts';

/** Refusals from one source, of one action, with one code, that get an entry each within a window. */
const singlesMax = 10;
const windowMs = 60_000;
/** Kinds counted at the same time; what is beyond shares one count. */
const kindsMax = 1024;

interface Kind {
  readonly fact: AuditFact;
  seen: number;
  counted: number;
}

export interface RefusalCounter {
  /** Whether this one gets an entry of its own; otherwise it was counted. */
  take(fact: AuditFact): boolean;
  /** Ends the window: one fact for each kind with what was counted. */
  flush(): readonly AuditFact[];
  close(): void;
}

/** `onWindowEnd` is called when a window in which something was counted is over. */
export const createRefusalCounter = (clock: Clock, onWindowEnd: () => void): RefusalCounter => {
  let kinds = new Map<string, Kind>();
  let timer: Timer | null = null;
  const kindOf = (fact: AuditFact): Kind => {
    const name = [fact.source, fact.actor, fact.device, fact.action, fact.result].join('\n');
    const known = kinds.get(name);
    if (known !== undefined) return known;
    if (kinds.size >= kindsMax) {
      const rest = kinds.get('') ?? {
        fact: { ...emptyFact, action: 'audit.refused', result: fact.result, detail: 'of many kinds' },
        seen: singlesMax,
        counted: 0,
      };
      kinds.set('', rest);
      return rest;
    }
    const kind: Kind = { fact, seen: 0, counted: 0 };
    kinds.set(name, kind);
    return kind;
  };
  return {
    take: (fact) => {
      const kind = kindOf(fact);
      timer ??= clock.after(windowMs, () => {
        timer = null;
        onWindowEnd();
      });
      kind.seen += 1;
      if (kind.seen <= singlesMax) return true;
      kind.counted += 1;
      return false;
    },
    flush: () => {
      const facts = [...kinds.values()]
        .filter(({ counted }) => counted > 0)
        .map(({ fact, counted }): AuditFact => ({
          ...fact,
          requestHash: Buffer.alloc(0),
          target: '',
          count: counted,
          detail: `${String(counted)} more alike within a minute`,
        }));
      kinds = new Map();
      return facts;
    },
    close: () => timer?.cancel(),
  };
};
