/** The last points of a few values that are measured together, oldest first; flat, because a fleet has thousands of hosts with one. */
export class History {
  readonly #columns: Float64Array[];
  readonly #pointsMax: number;
  #start = 0;
  #length = 0;

  /** Of so many values a point; at `pointsMax` points the oldest go. */
  constructor(width: number, pointsMax: number) {
    this.#pointsMax = pointsMax;
    this.#columns = Array.from({ length: width }, () => new Float64Array(Math.min(firstPoints, pointsMax)));
  }

  /** A point has as many values as the history is wide. */
  push(...point: readonly number[]): void {
    const capacity = this.#columns[0]?.length ?? 0;
    if (this.#length === capacity && capacity < this.#pointsMax) this.#grow(Math.min(capacity * 2, this.#pointsMax));
    const size = this.#columns[0]?.length ?? 0;
    const position = (this.#start + this.#length) % size;
    for (let index = 0; index < point.length; index += 1) {
      const column = this.#columns[index];
      if (column !== undefined) column[position] = point[index] ?? 0;
    }
    if (this.#length < size) this.#length += 1;
    else this.#start = (this.#start + 1) % size;
  }

  /** What `make` makes of each point; `at(column)` is its value there. */
  map<Point>(make: (at: (column: number) => number) => Point): Point[] {
    const size = this.#columns[0]?.length ?? 0;
    let position = 0;
    const at = (column: number): number => this.#columns[column]?.[position] ?? 0;
    return Array.from({ length: this.#length }, (_unused, index) => {
      position = (this.#start + index) % size;
      return make(at);
    });
  }

  /** Only called when it is full, before it ever went round. */
  #grow(points: number): void {
    for (const [index, column] of this.#columns.entries()) {
      const wider = new Float64Array(points);
      wider.set(column);
      this.#columns[index] = wider;
    }
  }
}

/** Room that a history begins with. */
const firstPoints = 16;
