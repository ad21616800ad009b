/** Numbers as the console writes them. null (not measured) is always a dash, never a zero. */
const dash = '–';
const scales = ['', 'k', 'M', 'G', 'T', 'P'] as const;
const byteUnits = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

const isMeasured = (value: number | null | undefined): value is number => typeof value === 'number' && Number.isFinite(value);

/** "1,284". */
export const formatCount = (value: number | null | undefined): string => (isMeasured(value) ? whole.format(value) : dash);

/** A fraction of zeros only says "about": it is left out, so that whole counts look whole. */
const withoutZeros = (text: string): string => text.replace(/\.0+$/, '');
const threeDigits = (value: number): string =>
  withoutZeros(value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2));

/** "6.45 M", "41.3 k", "912", "0.40", "1 k": three digits at most. */
export const formatScaled = (value: number | null | undefined): string => {
  if (!isMeasured(value)) return dash;
  const size = Math.abs(value);
  if (size < 999.5) return Number.isInteger(value) ? String(value) : withoutZeros(value.toFixed(size < 1 ? 2 : size < 10 ? 1 : 0));
  let scaled = value;
  let step = 0;
  while (Math.abs(scaled) >= 999.5 && step < scales.length - 1) {
    scaled /= 1_000;
    step += 1;
  }
  return `${threeDigits(scaled)} ${scales[step] ?? ''}`;
};

/** "310 MiB". */
export const formatBytes = (value: number | null | undefined): string => {
  if (!isMeasured(value)) return dash;
  let scaled = value;
  let step = 0;
  while (scaled >= 1_023.5 && step < byteUnits.length - 1) {
    scaled /= 1_024;
    step += 1;
  }
  return `${step === 0 ? scaled.toFixed(0) : threeDigits(scaled)} ${byteUnits[step] ?? ''}`;
};

/** "6.45 Gbit/s" of bytes a second. */
export const formatBitRate = (bytesPerSecond: number | null | undefined): string => {
  if (!isMeasured(bytesPerSecond)) return dash;
  const text = formatScaled(bytesPerSecond * 8);
  return /[a-zA-Z]$/.test(text) ? `${text}bit/s` : `${text} bit/s`;
};

/** "41 %" of 0..1. */
export const formatShare = (share: number | null | undefined): string => {
  if (!isMeasured(share)) return dash;
  const percent = share * 100;
  if (percent > 0 && percent < 1) return `${percent.toFixed(1)} %`;
  // 100 % is said only when it is all.
  return `${String(percent > 99 && percent < 100 ? Math.floor(percent * 10) / 10 : Math.round(percent))} %`;
};

/** "41 d 2 h", "3 h 12 min", "4 min 10 s", "12 s"; negative spans count as 0. */
export const formatSpan = (seconds: number): string => {
  const left = Math.max(0, Math.floor(seconds));
  const days = Math.floor(left / 86_400);
  const hours = Math.floor((left % 86_400) / 3_600);
  const minutes = Math.floor((left % 3_600) / 60);
  const parts = [
    [days, 'd'],
    [hours, 'h'],
    [minutes, 'min'],
    [left % 60, 's'],
  ] as const;
  const first = parts.findIndex(([count]) => count > 0);
  if (first === -1) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([count]) => count > 0)
    .map(([count, unit]) => `${String(count)} ${unit}`)
    .join(' ');
};

/** One unit, for ages: "12 min", "3 h", "41 d", "8 s". */
export const formatAge = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.floor(milliseconds / 1_000));
  if (seconds < 60) return `${String(seconds)} s`;
  if (seconds < 3_600) return `${String(Math.floor(seconds / 60))} min`;
  if (seconds < 172_800) return `${String(Math.floor(seconds / 3_600))} h`;
  return `${String(Math.floor(seconds / 86_400))} d`;
};

/** "9:41" of milliseconds; never negative. */
export const formatCountdown = (milliseconds: number): string => {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1_000));
  return `${String(Math.floor(seconds / 60))}:${String(seconds % 60).padStart(2, '0')}`;
};

const two = (value: number): string => String(value).padStart(2, '0');

/** "14:02:31" in local time. */
export const formatTime = (at: number): string => {
  const date = new Date(at);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
};

/** "2026-11-21 14:02:31" in local time. */
export const formatDateTime = (at: number): string => {
  const date = new Date(at);
  return `${String(date.getFullYear())}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${formatTime(at)}`;
};

/** First eight digits of a hash, as names of generations are shown. */
export const formatGeneration = (generation: string | null | undefined): string =>
  generation === null || generation === undefined || generation === '' ? dash : generation.slice(0, 8);

/** "rev 118, 9a41c02e", or that there is none: revision 0 is what a host has before its first policy. */
export const formatRevision = (revision: number | null | undefined, generation: string | null | undefined): string => {
  if (revision === null || revision === undefined) return dash;
  return revision === 0 ? 'no policy yet' : `rev ${String(revision)}, ${formatGeneration(generation)}`;
};

/** "a1b2 c3d4 ..." for comparing by eye. */
export const groupsOfFour = (text: string): readonly string[] => text.replaceAll(/[^0-9a-zA-Z]/g, '').match(/.{1,4}/g) ?? [];

/** "1 host", "3 hosts". */
export const countOf = (count: number, noun: string, plural = `${noun}s`): string => `${formatCount(count)} ${count === 1 ? noun : plural}`;
