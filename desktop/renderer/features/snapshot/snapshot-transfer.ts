/** Snapshot files between the person's disk and the core, piece by piece. */
import { snapshotPieceBytes } from '../../../bridge/snapshot-model.ts';
import type { SnapshotFile } from '../../../bridge/snapshot-model.ts';
import {
  useAppendSnapshotMutation,
  useBeginSnapshotMutation,
  useInspectSnapshotMutation,
  useReadSnapshotMutation,
} from '../../client/snapshot-api.ts';

/** Characters made of bytes at a time. */
const stride = 8 << 10;

const base64Of = (bytes: Uint8Array): string => {
  let text = '';
  for (let start = 0; start < bytes.length; start += stride) text += String.fromCharCode(...bytes.subarray(start, start + stride));
  return btoa(text);
};

const bytesOf = (base64: string): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** Gives a chosen file to the core and has it checked. Raises what the core says. */
export const useSnapshotUpload = (): ((file: File) => Promise<SnapshotFile>) => {
  const [begin] = useBeginSnapshotMutation();
  const [append] = useAppendSnapshotMutation();
  const [inspect] = useInspectSnapshotMutation();
  return async (file) => {
    const { snapshotId } = await begin({ fileName: file.name, bytes: Math.max(1, file.size) }).unwrap();
    for (let offset = 0; offset < file.size; offset += snapshotPieceBytes) {
      const piece = new Uint8Array(await file.slice(offset, offset + snapshotPieceBytes).arrayBuffer());
      await append({ snapshotId, offset, data: base64Of(piece) }).unwrap();
    }
    return inspect({ snapshotId }).unwrap();
  };
};

/** Takes a file from the core and hands it to the person. Raises what the core says. */
export const useSnapshotDownload = (): ((file: SnapshotFile) => Promise<void>) => {
  const [read] = useReadSnapshotMutation();
  return async ({ snapshotId, fileName }) => {
    const parts: Uint8Array<ArrayBuffer>[] = [];
    for (let offset: number | null = 0; offset !== null;) {
      const piece: { readonly data: string; readonly next: number | null } = await read({ snapshotId, offset }).unwrap();
      parts.push(bytesOf(piece.data));
      offset = piece.next;
    }
    const address = URL.createObjectURL(new Blob(parts, { type: 'application/octet-stream' }));
    const link = document.createElement('a');
    link.href = address;
    link.download = fileName;
    link.click();
    URL.revokeObjectURL(address);
  };
};
