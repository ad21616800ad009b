/** Finds the known name that was probably meant, for messages about unknown ones. */

const distanceMax = 3;
const lengthMax = 63;
const candidatesMax = 2000;

/** The nearest of the known names within three edits (fewer for short names); undefined when none is near. */
const nearestName = (name: string, known: Iterable<string>): string | undefined => {
  if (name.length > lengthMax) return undefined;
  const wanted = name.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.min(distanceMax, Math.ceil(wanted.length / 3)) + 1;
  let seen = 0;
  for (const candidate of known) {
    if (++seen > candidatesMax) break;
    if (Math.abs(candidate.length - wanted.length) >= bestDistance) continue;
    const distance = editDistance(wanted, candidate.toLowerCase());
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
};

/** " Did you mean "x"?" or nothing, to end a message with. */
export const didYouMean = (name: string, known: Iterable<string>): string => {
  const nearest = nearestName(name, known);
  return nearest === undefined ? '' : ` Did you mean "${nearest}"?`;
};

/** Levenshtein distance. */
const editDistance = (a: string, b: string): number => {
  let previous = Array.from({ length: b.length + 1 }, (_, position) => position);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const substitution = (previous[column - 1] ?? 0) + (a[row - 1] === b[column - 1] ? 0 : 1);
      current.push(Math.min(substitution, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
};
