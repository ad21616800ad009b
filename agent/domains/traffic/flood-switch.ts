/** Turns flood mode on and off by the miss rate: packets a second that no live flow settles. */
export interface FloodSwitch {
  /** One reading of the data path's counter of judged packets, about once a second. True when the mode has changed. */
  sample(judged: bigint, monotonicMs: number): boolean;
  readonly isOn: boolean;
  /** The miss rate of the last reading, packets a second; null before the second reading. */
  readonly missesPerSecond: number | null;
}

/** Above this the deny lists are worth a look-up for every packet. */
export const floodOnPerSecond = 50_000;
/** Well below, so that a rate around one limit does not switch to and fro. */
export const floodOffPerSecond = 12_500;
/** Readings in a row: a short burst is no flood, and a short pause is not its end. */
const readingsToOn = 2;
const readingsToOff = 10;

/** A switch that is off. */
export const createFloodSwitch = (): FloodSwitch => {
  let last: { readonly judged: bigint; readonly atMs: number } | null = null;
  let isOn = false;
  let missesPerSecond: number | null = null;
  let crossing = 0;
  return {
    get isOn() {
      return isOn;
    },
    get missesPerSecond() {
      return missesPerSecond;
    },
    sample: (judged, atMs) => {
      const before = last;
      last = { judged, atMs };
      // A counter that went back belongs to a data path that was loaded anew.
      if (before === null || atMs <= before.atMs || judged < before.judged) return false;
      missesPerSecond = (Number(judged - before.judged) * 1000) / (atMs - before.atMs);
      const isCrossing = isOn ? missesPerSecond <= floodOffPerSecond : missesPerSecond >= floodOnPerSecond;
      crossing = isCrossing ? crossing + 1 : 0;
      if (crossing < (isOn ? readingsToOff : readingsToOn)) return false;
      crossing = 0;
      isOn = !isOn;
      return true;
    },
  };
};
