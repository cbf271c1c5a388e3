// The rest of a long list, as one JSON object a line.
export class StreamBroken extends Error {}

// Yields each line's object as it arrives. Throws StreamBroken when the answer is no stream or ends without its "done".
export async function* linesOf(address, signal) {
  let isDone = false;
  for await (const line of textLines(address, signal)) {
    let told;
    try {
      told = JSON.parse(line);
    } catch {
      throw new StreamBroken("not JSON");
    }
    isDone = told.kind === "done" || told.kind === "failed";
    yield told;
    if (isDone) return;
  }
  throw new StreamBroken("cut");
}

async function* textLines(address, signal) {
  const response = await fetch(address, {
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    headers: { Accept: "application/x-ndjson" },
    signal,
  });
  const type = response.headers.get("Content-Type") ?? "";
  if (!response.ok || !type.startsWith("application/x-ndjson")) throw new StreamBroken(`HTTP ${response.status}`);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    rest += decoder.decode(value, { stream: !done });
    const lines = rest.split("\n");
    rest = done ? "" : lines.pop();
    yield* lines.filter((line) => line.trim() !== "");
    if (done) return;
  }
}
