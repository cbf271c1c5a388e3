// The study list in the browser: timeline, filters, small pictures, keys, and the rest of a long list as it arrives.
// Without JavaScript the list is whole as the server wrote it.
import { Arrival } from "./studies/arrival.js";
import { Filters } from "./studies/filters.js";
import { Groups } from "./studies/groups.js";
import { Keys, focusRow } from "./studies/keys.js";
import { Place } from "./studies/place.js";
import { markOpened } from "./studies/relations.js";
import { StudyRows } from "./studies/rows.js";
import { Thumbnails } from "./studies/thumbnails.js";
import { Timeline } from "./studies/timeline.js";
import { Tip } from "./studies/tip.js";
import { ListToken } from "./studies/token.js";
import { Words } from "./studies/words.js";

const by = (id) => document.getElementById(id);
const { token, stream } = by("main").dataset;

const words = new Words(document);
const rows = new StudyRows(document.querySelectorAll("li.study"), words);
const groups = new Groups(by("groups"), rows, words);
const place = new Place();
const filters = new Filters(by("filters"), rows, words, () => refresh());
const thumbnails = token ? new Thumbnails(new ListToken(token)) : null;
const tip = new Tip(by("timeline-tip"), by("timeline").querySelector(".lanes"));
const timeline = new Timeline(by("timeline"), rows, words, { goTo, tip });
new Keys(rows, filters);

let isArriving = Boolean(stream);
let wantedPlace = null;
const countAtFirst = by("count").textContent;
const narrow = matchMedia("(max-width: 40rem)");

// Shows what the filters let through, in the list, its counts and the timeline.
function refresh() {
  groups.regroup(filters.grouping, rows);
  const shown = filters.apply();
  groups.hideEmpty();
  by("nothing-found").hidden = shown > 0 || rows.all.length === 0;
  // A list that was whole from the start says so itself.
  by("no-studies").hidden = !stream || isArriving || rows.all.length > 0;
  by("clear-filters").hidden = !filters.isActive;
  tellCount(shown);
  timeline.draw();
  place.keep({ filters: filters.state });
}

function tellCount(shown) {
  const total = rows.all.length;
  const said = by("count").textContent;
  // The progress bar counts what comes in; here it is told once something else than the first words stands here.
  if (total === 0 || (isArriving && !filters.isActive && said === countAtFirst)) return;
  const text = filters.isActive ? words.say("some", { shown, total }) : countOfAll(total);
  if (said !== text) by("count").textContent = text;
}

// A list that is under way, or that broke off, has a number "so far" and no other.
function countOfAll(total) {
  if (isArriving) return words.say("arrivingOpen", { shown: total });
  return total === Number(by("count").dataset.total) ? countAtFirst : words.sayCounted("all", total, { total });
}

function goTo(row) {
  focusRow(row.element, { preventScroll: true });
  row.element.scrollIntoView({ block: "center" });
  row.element.classList.remove("reached");
  // Read once between, so that the animation starts anew for the same row.
  void row.element.offsetWidth;
  row.element.classList.add("reached");
}

function onRows(elements, { isDone = false, isBroken = false } = {}) {
  thumbnails?.watch(elements);
  if (isBroken) by("count").textContent = words.say("arrivingOpen", { shown: rows.all.length });
  if (isDone) isArriving = false;
  filters.refreshChips();
  markOpened(place.kept?.opened, rows, words);
  refresh();
  restorePlace();
}

// Back from the viewer, the row that was at the top is at the top again, unless the reader has begun to scroll.
// Rows that were off screen get their true height only now, so it takes some frames until nothing moves.
function restorePlace(frames = 8) {
  const row = wantedPlace && rows.of(wantedPlace.uid);
  if (!row) return;
  const away = row.element.getBoundingClientRect().top - wantedPlace.top;
  scrollBy({ top: away, behavior: "instant" });
  if (frames === 0) wantedPlace = null;
  else requestAnimationFrame(() => restorePlace(frames - 1));
}

// The button goes with the filters; the keyboard's place is then where one would search anew.
function clearFilters() {
  filters.clear();
  filters.field.focus();
}

// On a phone the chips are a tap away; elsewhere they are always there.
function foldFilters() {
  by("more-filters").open = !narrow.matches;
}

function keepHeadHeight() {
  const banner = document.querySelector(".banner");
  if (!banner) return;
  const note = () => document.documentElement.style.setProperty("--head", `${banner.offsetHeight}px`);
  new ResizeObserver(note).observe(banner);
}

function start() {
  const kept = place.kept;
  keepHeadHeight();
  filters.refreshChips();
  filters.state = kept?.filters ?? { group: groups.by };
  if (kept?.isTimelineOpen === undefined) timeline.openIfRoom();
  else by("timeline").open = kept.isTimelineOpen;
  if (kept?.at?.scrolled) {
    wantedPlace = kept.at;
    history.scrollRestoration = "manual";
    for (const type of ["wheel", "touchmove", "keydown"]) {
      addEventListener(type, () => { wantedPlace = null; }, { once: true, passive: true });
    }
  }
  foldFilters();
  narrow.addEventListener("change", foldFilters);
  markOpened(kept?.opened, rows, words);
  refresh();
  requestAnimationFrame(() => restorePlace());
  thumbnails?.watch(rows.all.map((row) => row.element));
  for (const id of ["clear", "clear-filters"]) by(id).addEventListener("click", clearFilters);
  by("groups").addEventListener("click", (event) => {
    const row = event.target.closest("a[href]") && rows.holding(event.target);
    if (!row) return;
    place.keep({ opened: row.uid });
    // The list may be shown again without being loaded anew.
    markOpened(row.uid, rows, words);
    timeline.draw();
  });
  // A page kept whole by the browser would show a list that may have changed, of a session that may have ended.
  addEventListener("pageshow", (event) => event.persisted && location.reload());
  addEventListener("pagehide", () => {
    place.keepScroll();
    place.keep({ isTimelineOpen: by("timeline").open });
  });
  if (stream) void new Arrival(stream, { rows, groups, words, onRows }).start();
}

start();
