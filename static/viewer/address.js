import { COMPARE_PROTOCOL } from "./compare_protocol.js";

// Which query parameters the viewer may see. OHIF also understands `url`, `token`, `configUrl`, `customization` and
// others, by which a link could bring its own images, token or configuration.
const UIDS = /^[0-9]+(\.[0-9]+)+(,[0-9]+(\.[0-9]+)+)*$/;
const KEPT = new Map(
  [
    ["StudyInstanceUIDs", UIDS],
    ["initialSeriesInstanceUID", UIDS],
    ["initialSOPInstanceUID", UIDS],
    ["hangingProtocolId", new RegExp(`^${COMPARE_PROTOCOL}$`)],
  ].map(([name, pattern]) => [name.toLowerCase(), { name, pattern }]),
);

// The query with only the known parameters in it, each at most once and only when it holds what it should: UIDs, or the
// name of our own way to hang two studies.
export function knownQuery(search) {
  const kept = new URLSearchParams();
  for (const [name, value] of new URLSearchParams(search)) {
    const known = KEPT.get(name.toLowerCase());
    if (known?.pattern.test(value) && !kept.has(known.name)) kept.set(known.name, value);
  }
  return kept.size === 0 ? "" : `?${kept}`.replaceAll("%2C", ",");
}

// Rewrites the page's address before the viewer reads it; the fragment goes too, because OHIF reads parameters there.
export function keepKnownQuery(page) {
  const wanted = page.location.pathname + knownQuery(page.location.search);
  if (wanted !== page.location.pathname + page.location.search + page.location.hash) {
    page.history.replaceState(null, "", wanted);
  }
}
