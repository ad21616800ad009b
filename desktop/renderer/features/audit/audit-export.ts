/** Collects an export from the core and hands it to the person as a file. */
import { useState } from 'react';
import { useAuditExportHeaderMutation, useExportAuditMutation } from '../../client/audit-api.ts';

/** What a page holds in memory at most, characters; beyond it the command line writes straight to a file. */
const exportMax = 64 << 20;

export interface AuditExport {
  /** Hosts done; null while nothing is exported. */
  readonly progress: number | null;
  /** Raises what a host said, LIMIT_REACHED. */
  readonly run: (hostIds: readonly string[]) => Promise<void>;
}

export const useAuditExport = (now: () => number): AuditExport => {
  const [askHeader] = useAuditExportHeaderMutation();
  const [askPiece] = useExportAuditMutation();
  const [progress, setProgress] = useState<number | null>(null);
  const collect = async (hostIds: readonly string[]): Promise<string[]> => {
    const parts = [(await askHeader({ hostIds: [...hostIds] }).unwrap()).text];
    let length = 0;
    for (const [index, hostId] of hostIds.entries()) {
      setProgress(index);
      for (let after: number | null = 0; after !== null;) {
        const piece: { readonly text: string; readonly next: number | null } = await askPiece({ hostId, after }).unwrap();
        parts.push(piece.text);
        length += piece.text.length;
        after = piece.next;
        if (length > exportMax)
          throw Object.assign(new Error('The logs are too large for a page. Use "nest audit export", or choose one host.'), {
            code: 'LIMIT_REACHED',
          });
      }
    }
    return parts;
  };
  return {
    progress,
    run: async (hostIds) => {
      setProgress(0);
      try {
        save(await collect(hostIds), `nest-audit-${new Date(now()).toISOString().slice(0, 19).replaceAll(':', '')}.jsonl`);
      } finally {
        setProgress(null);
      }
    },
  };
};

const save = (parts: readonly string[], name: string): void => {
  const address = URL.createObjectURL(new Blob([...parts], { type: 'application/jsonl' }));
  const link = document.createElement('a');
  link.href = address;
  link.download = name;
  link.click();
  URL.revokeObjectURL(address);
};
