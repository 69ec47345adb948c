
// ---- Asking the arbiter ----

const PATIENCE = 6000; // for an answer, ms
const TOKEN = "qarbiter token";

// Everything is below this page, wherever a proxy puts it.
const base = location.pathname.replace(/[^/]*$/, (last) => (last ? `${last}/` : ""));

let token = sessionStorage.getItem(TOKEN);

class TokenNeeded extends Error {}
class Refused extends Error {}

async function request(path, accept, signal) {
  const headers = { Accept: accept };
  if (token) headers.Authorization = `Bearer ${token}`;
  const response = await fetch(base + path, { headers, signal, cache: "no-store", credentials: "same-origin" });
  if (response.status === 401) throw new TokenNeeded();
  if (!response.ok) throw new Refused(`the arbiter answered ${response.status}`);
  return response;
}

async function ask(path) {
  const response = await request(path, "application/json", AbortSignal.timeout(PATIENCE));
  return response.json();
}

// Follows what happens and calls `happened` for it, until `signal` ends it or the connection ends.
// An EventSource can't send a token, hence by hand.
async function follow(signal, connected, happened) {
  const QUIET = 40000; // the arbiter says every 15 s that it is there
  const silence = new AbortController();
  let alarm = setTimeout(() => silence.abort(), QUIET);
  try {
    const response = await request("api/v1/events", "text/event-stream", AbortSignal.any([signal, silence.signal]));
    connected();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(alarm);
      alarm = setTimeout(() => silence.abort(), QUIET);
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      if (lines.some((line) => line.startsWith("data:"))) happened();
    }
  } finally {
    clearTimeout(alarm);
  }
}
