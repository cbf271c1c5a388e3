// The elements of the timeline: an axis of years, and lanes with marks or bars.
const TRACK = 28;
const BAR_LANE = 34;
const LEAST_BAR_HEIGHT = 5;

export function drawMarks(plan, words) {
  const lanes = plan.lanes.map((lane) => {
    const { element, plot } = laneElement(lane, plan, words, lane.tracks * TRACK);
    plot.append(...lane.marks.map((mark) => markElement(mark, words)));
    return element;
  });
  return [axisElement(plan), ...lanes];
}

export function drawBars(plan, words) {
  const highest = Math.max(...plan.lanes.flatMap((lane) => lane.bars.map((bar) => bar.rows.length)));
  const lanes = plan.lanes.map((lane) => {
    const { element, plot } = laneElement(lane, plan, words, BAR_LANE);
    plot.append(...lane.bars.map((bar) => barElement(bar, lane, plan, highest, words)));
    return element;
  });
  return [axisElement(plan), ...lanes];
}

function made(tag, className, text = "") {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = text;
  return element;
}

function axisElement(plan) {
  const axis = made("div", "axis");
  const plot = made("div", "plot");
  axis.setAttribute("aria-hidden", "true");
  plot.style.width = `${plan.width}px`;
  for (const segment of plan.scale.segments) {
    const year = made("span", segment.isGap ? "years gap" : "years", yearText(segment));
    year.style.left = `${segment.left}px`;
    year.style.width = `${segment.width}px`;
    plot.append(year);
  }
  axis.append(made("span", "lane-name"), plot);
  return axis;
}

function yearText({ isGap, first, width }) {
  if (isGap) return "…";
  return width >= 36 ? String(first) : width >= 24 ? `’${String(first).slice(2)}` : "";
}

function laneElement(lane, plan, words, height) {
  const element = made("div", "lane");
  const plot = made("div", "plot");
  const name = made("span", "lane-name", words.lane(lane.key));
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", words.lane(lane.key));
  name.setAttribute("aria-hidden", "true");
  plot.style.width = `${plan.width}px`;
  plot.style.height = `${height}px`;
  for (const { left } of plan.scale.segments.slice(1)) {
    const line = made("span", "line");
    line.style.left = `${left}px`;
    plot.append(line);
  }
  element.append(name, plot);
  return { element, plot };
}

function stop(className, x, row, isOut) {
  const button = made("button", className);
  button.type = "button";
  button.tabIndex = -1;
  button.disabled = isOut;
  button.dataset.uid = row.uid;
  button.dataset.x = String(Math.round(x));
  button.style.left = `${x}px`;
  return button;
}

function markElement({ row, x, track }, words) {
  const family = row.families[0];
  const button = stop(`mark ${family}`, x, row, row.element.hidden);
  button.classList.toggle("opened", row.isOpened);
  button.classList.toggle("prior", row.isPrior);
  button.style.top = `${track * TRACK + 2}px`;
  button.append(made("span", "letters", words.family(family).letters));
  if (row.hasFinding) button.append(badge(row.tone));
  const modality = row.families.map((one) => words.family(one).words).join(", ");
  const parts = [words.say("mark", { title: row.title, date: row.date, modality })];
  if (row.isOpened) parts.push(words.say("opened"));
  if (row.isPrior) parts.push(words.say("prior"));
  if (row.hasFinding) parts.push(words.say("markFinding", { finding: row.finding ?? "" }));
  button.setAttribute("aria-label", joined(parts, words));
  return button;
}

function barElement(bar, lane, plan, highest, words) {
  const shown = bar.rows.filter((row) => !row.element.hidden);
  const count = shown.length;
  const button = stop("bar", bar.x, shown[0] ?? bar.rows[0], count === 0);
  const tones = ["critical", "warning", "info"].filter((tone) => shown.some((row) => row.tone === tone));
  const column = made("span", "column");
  button.style.width = `${bar.width}px`;
  column.style.height = `${count ? LEAST_BAR_HEIGHT + (BAR_LANE - LEAST_BAR_HEIGHT - 8) * Math.sqrt(count / highest) : 2}px`;
  button.append(column);
  if (tones.length) button.append(badge(tones[0]));
  const first = bar.part * plan.months;
  const when = words.months(bar.year, first, first + plan.months - 1);
  const parts = [words.sayCounted("bar", count, { lane: words.lane(lane.key), when, count })];
  if (tones.length) parts.push(words.say("barFinding"));
  button.setAttribute("aria-label", joined(parts, words));
  return button;
}

function joined(parts, words) {
  return parts.reduce((first, second) => words.say("joined", { first, second }));
}

function badge(tone) {
  const element = made("span", `badge ${tone}`, "!");
  element.setAttribute("aria-hidden", "true");
  return element;
}
