/** Token buckets by source address, to slow down whoever opens connections in a loop. */
export interface SourceRate {
  /** True when this source may open one more connection now. */
  take(source: string): boolean;
}

export interface SourceRateOptions {
  readonly perSecond: number;
  readonly sourcesMax: number;
  readonly monotonicMs: () => number;
}

/** A source that was quiet for a second has its whole allowance; at `sourcesMax` the longest quiet one is forgotten. */
export const createSourceRate = ({ perSecond, sourcesMax, monotonicMs }: SourceRateOptions): SourceRate => {
  const buckets = new Map<string, { readonly tokens: number; readonly atMs: number }>();
  return {
    take: (source) => {
      const nowMs = monotonicMs();
      const last = buckets.get(source) ?? { tokens: perSecond, atMs: nowMs };
      const tokens = Math.min(perSecond, last.tokens + ((nowMs - last.atMs) / 1000) * perSecond);
      const granted = tokens >= 1;
      buckets.delete(source);
      buckets.set(source, { tokens: granted ? tokens - 1 : tokens, atMs: nowMs });
      const [quietest] = buckets.keys();
      if (buckets.size > sourcesMax && quietest !== undefined) buckets.delete(quietest);
      return granted;
    },
  };
};
