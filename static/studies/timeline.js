// A picture of the record above the list: years along, a lane for each body region, a mark for each study. Where marks would
// not find room, bars count the studies of a month, quarter, half or whole year. Each mark or bar leads to its row.
import { drawBars, drawMarks } from "./timeline_marks.js";
import { YearScale, monthsPerBar, packed, partOfYear } from "./timeline_scale.js";

const MARK = 24;
const LEAST_BAR = 26;
const MOST_TRACKS = 3;
const MOST_MARKS = 120;
const OPEN_FROM = 640;
const MOST_OF_WINDOW = 0.27;

export class Timeline {
  #figure;
  #lanes;
  #words;
  #rows;
  #goTo;
  #width = 0;
  #drawnWidth = null;
  #isDue = false;
  #tip;

  constructor(figure, rows, words, { goTo, tip }) {
    this.#figure = figure;
    this.#lanes = figure.querySelector(".lanes");
    this.#words = words;
    this.#rows = rows;
    this.#goTo = goTo;
    this.#tip = tip;
    figure.addEventListener("toggle", () => this.draw());
    this.#lanes.addEventListener("keydown", (event) => this.#onKey(event));
    this.#lanes.addEventListener("focusin", (event) => this.#rove(event.target));
    this.#lanes.addEventListener("click", (event) => this.#onClick(event));
    new ResizeObserver(() => this.#onResize()).observe(this.#lanes);
  }

  // Open from the start where it leaves the list room; else folded, one click away.
  openIfRoom() {
    const lanes = new Set(this.#rows.all.flatMap((row) => (row.isDated ? row.lanes : [])));
    this.#figure.open = window.innerWidth >= OPEN_FROM && lanes.size * MARK <= window.innerHeight * MOST_OF_WINDOW;
  }

  // Draws at the next frame; many wishes in one frame are one drawing.
  draw() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#drawNow();
    });
  }

  #drawNow() {
    const dated = this.#rows.all.filter((row) => row.isDated);
    this.#figure.hidden = dated.length < 2;
    if (this.#figure.hidden || !this.#figure.open) return;
    const focused = this.#lanes.contains(document.activeElement) ? document.activeElement.dataset.uid : null;
    const lanes = this.#lanesOf(dated);
    const plan = this.#plan(dated, lanes);
    const scrolled = this.#lanes.scrollLeft;
    this.#lanes.replaceChildren(...(plan.bars ? drawBars(plan, this.#words) : drawMarks(plan, this.#words)));
    this.#legend(plan, dated);
    const stops = this.#stops;
    const newest = dated.find((row) => !row.element.hidden)?.uid;
    const first = stops.find((stop) => stop.dataset.uid === (focused ?? newest)) ?? stops.at(-1);
    this.#rove(first);
    if (focused !== null) first?.focus({ preventScroll: true });
    // The newest studies are at the right; where there is no room for all years, they are seen first.
    this.#lanes.scrollLeft = plan.width === this.#drawnWidth ? scrolled : this.#lanes.scrollWidth;
    this.#drawnWidth = plan.width;
    if (focused !== null && first) this.#bringIntoView(first);
  }

  // Sideways only: the page stays where the reader has scrolled it.
  #bringIntoView(mark) {
    const { left, right } = mark.getBoundingClientRect();
    const plot = this.#lanes.getBoundingClientRect();
    const leftEdge = plot.right - this.#plotWidth();
    if (left < leftEdge) this.#lanes.scrollLeft -= leftEdge - left;
    else if (right > plot.right) this.#lanes.scrollLeft += right - plot.right;
  }

  // The lanes that have rows, each with its rows.
  #lanesOf(dated) {
    const lanes = [...this.#words.lanes.keys()].map((key) => ({ key, rows: dated.filter((row) => row.lanes.includes(key)) }));
    return lanes.filter((lane) => lane.rows.length > 0);
  }

  #plan(dated, lanes) {
    const probe = this.#plotWidth();
    const total = lanes.reduce((sum, lane) => sum + lane.rows.length, 0);
    if (total > MOST_MARKS) return this.#planBars(dated, lanes, probe);
    const scale = new YearScale(dated, probe);
    for (const lane of lanes) {
      lane.marks = lane.rows.map((row) => ({ row, x: scale.at(Number(row.year), partOfYear(row.started)) }));
      lane.tracks = packed(lane.marks, MARK + 2, probe);
    }
    if (lanes.every((lane) => lane.tracks <= MOST_TRACKS)) return { lanes, scale, width: probe, bars: false };
    return this.#planBars(dated, lanes, probe);
  }

  #planBars(dated, lanes, probe) {
    let scale = new YearScale(dated, probe, { isEven: true });
    const tooNarrow = LEAST_BAR / scale.narrowestYear;
    const width = tooNarrow > 1 ? probe * tooNarrow : probe;
    if (tooNarrow > 1) scale = new YearScale(dated, width, { isEven: true });
    const months = monthsPerBar(scale.narrowestYear, LEAST_BAR);
    for (const lane of lanes) lane.bars = barsOf(lane.rows, months, scale);
    return { lanes, scale, width, months, bars: true };
  }

  #plotWidth() {
    const style = getComputedStyle(this.#lanes);
    const label = Number.parseFloat(style.getPropertyValue("--label-width")) || 0;
    this.#width = this.#lanes.clientWidth;
    const rem = Number.parseFloat(getComputedStyle(document.documentElement).fontSize);
    return Math.max(this.#width - label * rem, 120);
  }

  #onResize() {
    if (Math.abs(this.#lanes.clientWidth - this.#width) > 4) this.draw();
  }

  #legend(plan, dated) {
    const marked = {
      finding: dated.some((row) => row.hasFinding),
      opened: !plan.bars && dated.some((row) => row.isOpened),
      prior: !plan.bars && dated.some((row) => row.isPrior),
      bars: plan.bars,
      undated: dated.length < this.#rows.all.length,
    };
    for (const item of this.#figure.querySelectorAll("[data-legend]")) item.hidden = !marked[item.dataset.legend];
  }

  get #stops() {
    return [...this.#lanes.querySelectorAll("button:not([disabled])")];
  }

  // Only one mark is in the page's tab order; the arrow keys move from it.
  #rove(to) {
    if (!to?.matches?.("button")) return;
    for (const stop of this.#lanes.querySelectorAll("button[tabindex='0']")) stop.tabIndex = -1;
    to.tabIndex = 0;
  }

  #onClick(event) {
    const mark = event.target.closest("button[data-uid]");
    if (!mark) return;
    this.#tip.hide();
    this.#goTo(this.#rows.of(mark.dataset.uid));
  }

  #onKey(event) {
    const at = event.target.closest("button[data-uid]");
    if (!at || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = this.#neighbour(at, event.key);
    if (!to) return;
    event.preventDefault();
    to.focus();
  }

  #neighbour(at, key) {
    const lanes = [...this.#lanes.querySelectorAll(".lane")].map((lane) => [...lane.querySelectorAll("button:not([disabled])")]);
    const lane = lanes.findIndex((one) => one.includes(at));
    const place = lanes[lane].indexOf(at);
    if (key === "ArrowLeft") return lanes[lane][place - 1];
    if (key === "ArrowRight") return lanes[lane][place + 1];
    if (key === "Home") return lanes[lane][0];
    if (key === "End") return lanes[lane].at(-1);
    const rest = key === "ArrowUp" ? lanes.slice(0, lane).reverse() : key === "ArrowDown" ? lanes.slice(lane + 1) : [];
    const distance = (stop) => Math.abs(Number(stop.dataset.x) - Number(at.dataset.x));
    return rest.find((one) => one.length > 0)?.toSorted((one, other) => distance(one) - distance(other))[0];
  }
}

function barsOf(rows, months, scale) {
  const bars = new Map();
  for (const row of rows) {
    const year = Number(row.year);
    const part = Math.floor((partOfYear(row.started) * 12) / months + 1e-9);
    const key = `${year}-${part}`;
    const bar = bars.get(key) ?? { year, part, rows: [], x: scale.at(year, (part * months) / 12) };
    bar.rows.push(row);
    bar.width = scale.at(year, ((part + 1) * months) / 12) - bar.x;
    bars.set(key, bar);
  }
  return [...bars.values()].sort((one, other) => one.x - other.x);
}
