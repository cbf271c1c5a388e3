// Asks our own server for the session's access token; `wasRefused` says that a server no longer took the current one.
export function requestToken(tokenPath, wasRefused) {
  return fetch(tokenPath, {
    method: "POST",
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    headers: { Accept: "application/json", "Content-Type": "application/json" },
    body: JSON.stringify({ refused: wasRefused }),
  });
}
