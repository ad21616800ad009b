/** "2030-01-31T18:00" in local time, as a date input wants it; "" for what is no time. */
export const localTime = (expires: string | undefined): string => {
  const at = expires === undefined ? Number.NaN : Date.parse(expires);
  if (Number.isNaN(at)) return '';
  return new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

/** RFC 3339 in UTC; undefined for what is no time. */
export const utcTime = (local: string): string | undefined => {
  const at = Date.parse(local);
  return Number.isNaN(at) ? undefined : `${new Date(at).toISOString().slice(0, 19)}Z`;
};
