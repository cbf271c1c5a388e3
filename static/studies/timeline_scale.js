// Where the timeline puts things: pure sums, no page.
const GAP_WEIGHT = 0.45;
const LONGEST_EMPTY_RUN = 1;

// A study's place within its year, 0 to 1, read from the text of its date: no time zone moves it.
export function partOfYear(started) {
  const [, month, day] = /^\d{4}(?:-(\d\d)(?:-(\d\d))?)?/.exec(started) ?? [];
  return ((month ? Number(month) - 1 : 0) + (day ? (Number(day) - 1) / 31 : 0)) / 12;
}

// The years from first to last as segments of one line; years with more studies are wider, long empty runs are one gap.
export class YearScale {
  segments;

  constructor(rows, width, { isEven = false } = {}) {
    const counts = new Map();
    for (const row of rows) counts.set(Number(row.year), (counts.get(Number(row.year)) ?? 0) + 1);
    const parts = partsOf(counts);
    const weightOf = ({ isGap, count }) => (isGap ? GAP_WEIGHT : isEven ? 1 : 1 + Math.log2(Math.max(1, count)) * 0.4);
    const unit = width / parts.reduce((sum, part) => sum + weightOf(part), 0);
    let left = 0;
    this.segments = parts.map((part) => {
      const segment = { ...part, left, width: weightOf(part) * unit };
      left += segment.width;
      return segment;
    });
  }

  get narrowestYear() {
    return Math.min(...this.segments.filter((segment) => !segment.isGap).map((segment) => segment.width));
  }

  // Pixels from the left for a part (0 to 1) of a year.
  at(year, part) {
    const segment = this.segments.find((one) => one.first <= year && year <= one.last);
    return segment.left + segment.width * part;
  }
}

function partsOf(counts) {
  const years = [...counts.keys()].sort((one, other) => one - other);
  const parts = [];
  for (const [index, year] of years.entries()) {
    const before = years[index - 1];
    if (before !== undefined && year - before - 1 > LONGEST_EMPTY_RUN) {
      parts.push({ first: before + 1, last: year - 1, count: 0, isGap: true });
    } else if (before !== undefined && year - before === 2) {
      parts.push({ first: before + 1, last: before + 1, count: 0, isGap: false });
    }
    parts.push({ first: year, last: year, count: counts.get(year), isGap: false });
  }
  return parts;
}

// Lays marks of one size out in as few tracks as needed so that none covers another. Returns the tracks' number.
export function packed(marks, size, width) {
  const ends = [];
  for (const mark of marks.sort((one, other) => one.x - other.x)) {
    mark.x = Math.min(Math.max(mark.x, 0), width - size);
    let track = ends.findIndex((end) => end <= mark.x);
    if (track < 0) track = ends.length;
    mark.track = track;
    ends[track] = mark.x + size;
  }
  return ends.length;
}

// How many months a bar stands for, so that a bar is at least `least` pixels wide.
export function monthsPerBar(narrowestYear, least) {
  return [1, 3, 6].find((months) => (narrowestYear * months) / 12 >= least) ?? 12;
}
