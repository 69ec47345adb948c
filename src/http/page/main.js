
// ---- Keeping the page up to date ----

const POLL = 5000; // ms between looks while nothing happens
const POLL_COUNTDOWN = 1000; // the same while a countdown is in sight
const POLL_UNSEEN = 15000; // the same while nobody looks at the page
const RETRY = 2000; // after a look that failed
const GAP = 400; // at least, between looks while much happens
const TOO_OLD = 12000; // after which what is shown counts as out of date
const ARBITER_EVERY = 10000;
const CERTIFICATES_EVERY = 60000;
const MOST = 1000; // clusters that the arbiter sends at a time
const STEP = 200;
const DECISIONS = 8;

const view = { filter: "", search: "", limit: STEP };
const seen = { answered: 0, looked: 0, failed: null, skew: 0, overview: null, arbiter: null, certificates: null };
let timer = 0;
let looking = false;
let again = false;
let streaming = null;
let linked = null; // the cluster that the address named, and its summary while the list lacks it

// The arbiter's clock, as far as it is known.
function arbiterNow() {
  return Date.now() + seen.skew;
}

function lookIn(ms) {
  clearTimeout(timer);
  timer = setTimeout(look, ms);
}

// Something happened or was asked for: look soon, but not all the time.
function lookSoon() {
  if (looking) again = true;
  else lookIn(Math.max(0, seen.looked + GAP - performance.now()));
}

async function look() {
  if (looking) return void (again = true);
  clearTimeout(timer);
  looking = true;
  again = false;
  seen.looked = performance.now();
  try {
    await Promise.all([lookAtClusters(), lookAtArbiter()]);
    seen.failed = null;
  } catch (error) {
    if (error instanceof TokenNeeded) return askForToken();
    seen.failed = error;
  } finally {
    looking = false;
  }
  drawConnection();
  if (again) lookSoon();
  else lookIn(seen.failed ? RETRY : document.hidden ? POLL_UNSEEN : countsDown() ? POLL_COUNTDOWN : POLL);
}

// Whether a lease that ends by itself is shown.
const countsDown = () =>
  [...open.values()].some((known) => known?.cluster.leases.some((lease) => lease.remaining_ms !== undefined));

async function lookAtClusters() {
  const asked = JSON.stringify(view);
  const query = new URLSearchParams({ limit: view.limit });
  if (view.filter === "warned") query.set("warned", "true");
  else if (view.filter) query.set("level", view.filter);
  if (view.search) query.set("search", view.search);
  const overview = await ask(`api/v1/overview?${query}`);
  if (asked !== JSON.stringify(view)) return void (again = true);
  seen.skew = overview.unix_ms - Date.now();
  seen.overview = overview;
  // Details that are open are not older than the list, and neither is a cluster beside it.
  const listed = new Set(overview.clusters.map(keyOf));
  const wanted = [...listed].filter((key) => open.has(key));
  const beside = linked && !listed.has(linked.key) ? linked : null;
  if (beside) wanted.push(beside.key);
  const more = await lookFor(wanted);
  answered();
  if (beside) showBeside(beside, more.get(beside.key));
  for (const [key, found] of more) if (open.has(key)) open.set(key, found);
  draw();
}

// A cluster that the address named and that the list lacks. One that is gone leaves the page, and
// opens again if it comes back before anything else was opened.
function showBeside(cluster, found) {
  cluster.summary = found ? summaryOf(found.cluster) : null;
  if (found && location.hash === `#${cluster.key}`) open.set(cluster.key, found);
}

// Everything about these clusters, a few at a time.
async function lookFor(keys) {
  const found = new Map();
  const waiting = [...keys];
  const worker = async () => {
    for (let key = waiting.pop(); key !== undefined; key = waiting.pop()) {
      const [{ clusters: [cluster] }, { decisions }] = await Promise.all([
        ask(`api/v1/clusters?name=${key}`), ask(`api/v1/decisions?cluster=${key}&limit=${DECISIONS}`)]);
      if (cluster) found.set(key, { cluster: { ...cluster, seen_at: arbiterNow() }, decisions });
    }
  };
  await Promise.all([worker(), worker()]);
  return found;
}

async function lookAtArbiter() {
  const now = performance.now();
  if (!seen.arbiter || seen.failed || now - seen.arbiter.at > ARBITER_EVERY) {
    seen.arbiter = { at: now, facts: await ask("api/v1/arbiter") };
  }
  if (!seen.certificates || seen.failed || now - seen.certificates.at > CERTIFICATES_EVERY) {
    seen.certificates = { at: now, list: (await ask("api/v1/certificates")).certificates };
  }
  drawArbiter(seen.arbiter.facts, seen.certificates.list);
}

function answered() {
  seen.answered = Date.now();
  seen.answeredAt = performance.now();
}

// How old what is shown is. Neither clock alone can be trusted: one may be set, the other may stand
// still while the machine sleeps.
const age = () => Math.max(Date.now() - seen.answered, performance.now() - seen.answeredAt);

// ---- Drawing it ----

function draw() {
  const { overview } = seen;
  const { counts } = overview;
  document.body.classList.remove("waiting");
  $("ask").hidden = true;
  $("main").hidden = false;
  drawFilters(counts, view.filter);
  const shown = linked?.summary && !overview.clusters.some((one) => keyOf(one) === linked.key)
    ? [linked.summary, ...overview.clusters] : overview.clusters;
  tellChanges(shown, counts);
  drawGone(overview.gone, counts.gone);
  drawList(shown);
  for (const key of rows.keys()) drawInside(key);
  const isEmpty = counts.clusters === 0;
  const isNew = isEmpty && counts.gone === 0;
  if (isNew && $("empty").hidden) drawEmpty();
  $("empty").hidden = !isNew;
  document.querySelector(".bar").hidden = isEmpty;
  $("none").hidden = isEmpty || shown.length > 0;
  setText($("none"), view.search || view.filter ? `None of ${count(counts.clusters, "cluster", "clusters")} fits. Esc shows all again.` : "");
  const hidden = overview.total - overview.clusters.length;
  setText($("shown"), isEmpty || !overview.total ? "" : hidden
    ? `The first ${overview.clusters.length} of ${overview.total}, the worst first.${view.limit >= MOST ? " Search finds the others." : ""}`
    : overview.total === 1 ? "1 cluster." : `${overview.total} clusters, the worst first.`);
  $("more").hidden = hidden === 0 || view.limit >= MOST;
  setText($("more"), `Show ${Math.min(hidden, MOST - STEP)} more`);
  drawConnection();
}

function drawConnection() {
  const isOld = seen.answered > 0 && (seen.failed !== null || age() > (document.hidden ? 90000 : TOO_OLD));
  const isLost = isOld || seen.failed !== null;
  document.body.classList.toggle("old", isOld);
  $("lost").hidden = !isLost;
  if (isLost) {
    const why = seen.failed instanceof Refused ? ` (${seen.failed.message})` : "";
    const text = seen.answered
      ? `No answer from the arbiter for ${span(age())}${why}. What is below is as it was at ${clock(seen.answered)}.`
      : `No answer from the arbiter${why}.`;
    // Each second for the eye, once for the ear.
    if ($("lost").childElementCount === 0) {
      $("lost").replaceChildren(el("span", { "aria-hidden": "true" }), el("span", { class: "unseen" }, "The arbiter does not answer. What is shown is out of date."));
    }
    setText($("lost").firstChild, text);
  } else {
    $("lost").replaceChildren();
  }
  setText($("connection"), isLost ? "lost; asking again" : streaming?.live ? "live" : seen.answered ? `every ${POLL / 1000} s` : "asking the arbiter…");
  drawTitle(isOld);
}

// In the tab: whether the arbiter is well, how many clusters are not, and a shape for the worst.
function drawTitle(isOld) {
  const counts = seen.overview?.counts;
  const isFailed = seen.arbiter?.facts.health.ok === false;
  const bad = [isFailed && "arbiter not in order", counts?.critical && `${counts.critical} critical`,
    counts?.degraded && `${counts.degraded} degraded`,
    counts?.gone && `${counts.gone} without nodes`].filter(Boolean).join(", ");
  const title = isOld ? "no answer" : bad || (counts?.clusters ? "all ok" : "");
  const text = `${title ? `${title} – ` : ""}qarbiter`;
  if (document.title === text) return;
  document.title = text;
  const worst = isOld || !counts ? null : counts.critical || isFailed || counts.gone ? "critical" : counts.degraded ? "degraded" : "ok";
  const colour = { critical: "#c21f2c", degraded: "#b07800", ok: "#1a7f37" }[worst] ?? "#888";
  const path = { critical: "M5 0h6l5 5v6l-5 5H5l-5-5V5z", degraded: "M8 0l8 16H0z" }[worst] ?? "M8 0a8 8 0 1 1-.01 0z";
  $("icon").href = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><path fill="${colour}" d="${path}"/></svg>`)}`;
}

// Once a second: ages go on, unless what is shown is out of date as a whole.
function tick() {
  if (seen.answered) drawConnection();
  if (document.hidden || document.body.classList.contains("old")) return;
  for (const time of document.querySelectorAll("time")) setText(time, when(time));
}

// ---- The token ----

function askForToken() {
  streaming?.stop.abort();
  clearTimeout(timer);
  setText($("refused"), token ? "The arbiter does not accept this token." : "");
  token = null;
  sessionStorage.removeItem(TOKEN);
  seen.arbiter = null;
  seen.certificates = null;
  $("main").hidden = true;
  $("ask").hidden = false;
  setText($("connection"), "");
  $("token").focus();
}

$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value.trim();
  $("token").value = "";
  // What can't be in a header can't be a token.
  if (!/^[!-~]+$/.test(token)) return askForToken();
  sessionStorage.setItem(TOKEN, token);
  look();
  stream();
});

// ---- The stream of events: it says when to look ----

async function stream() {
  // One reader for this page; none while nobody looks at it, since browsers have only a few
  // connections to one host for all their tabs.
  if (streaming || document.hidden) return;
  const mine = { stop: new AbortController(), live: false };
  streaming = mine;
  for (let pause = 1000; !mine.stop.signal.aborted; pause = Math.min(pause * 2, 15000)) {
    try {
      await follow(mine.stop.signal, () => {
        mine.live = true;
        pause = 1000;
        // Something may have happened before this.
        lookSoon();
      }, lookSoon);
    } catch (error) {
      if (error instanceof TokenNeeded) break;
    }
    if (mine.live && !mine.stop.signal.aborted) lookSoon();
    mine.live = false;
    if (!mine.stop.signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause));
  }
  if (streaming === mine) streaming = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    streaming?.stop.abort();
    streaming = null;
  } else if ($("ask").hidden) {
    drawConnection();
    look();
    stream();
  }
});

// ---- What the operator does ----

// Asks for other clusters.
function show(change) {
  Object.assign(view, { limit: STEP }, change);
  if (seen.overview) drawFilters(seen.overview.counts, view.filter);
  if (looking) again = true;
  else look();
}

$("filters").addEventListener("click", (event) => {
  const chosen = event.target.closest("button")?.dataset.filter;
  if (chosen !== undefined) show({ filter: chosen === view.filter ? "" : chosen });
});

let typing = 0;
$("search").addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(() => show({ search: $("search").value.trim() }), 120);
});

$("more").addEventListener("click", () => show({ limit: MOST }));

// Opening a cluster's details; the event does not bubble.
$("list").addEventListener("toggle", async (event) => {
  const key = event.target.parentElement.dataset.key;
  if (key === undefined || event.target.open === open.has(key)) return;
  if (!event.target.open) {
    open.delete(key);
    drawInside(key);
    if (location.hash === `#${key}`) history.replaceState(null, "", location.pathname + location.search);
    return;
  }
  open.set(key, null);
  history.replaceState(null, "", `#${key}`);
  drawInside(key);
  lookSoon();
}, true);

// The cluster that the address names, wherever in the list it is.
async function openLinked() {
  // Browsers leave more as it is than our paths do.
  const key = location.hash.slice(1).replace(/[^\w.~%-]/gu, encodeURIComponent);
  if (!key) return;
  try {
    const found = (await lookFor([key])).get(key);
    if (!found) return setText($("changes"), "There is no cluster of that name at the moment.");
    linked = { key };
    showBeside(linked, found);
    if (seen.overview) {
      draw();
      rows.get(key)?.scrollIntoView({ block: "nearest" });
      rows.get(key)?.querySelector("summary").focus({ preventScroll: true });
    }
  } catch {
    // Without an answer the page says so by itself.
  }
}
addEventListener("hashchange", openLinked);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !$("ask").hidden) return;
  const search = $("search");
  const isTyping = event.target === search;
  if (event.key === "Escape" && (view.search || view.filter || isTyping)) {
    search.value = "";
    search.blur();
    show({ search: "", filter: "" });
  } else if (event.key === "/" && !isTyping) {
    search.focus();
    search.select();
  } else if ((event.key === "j" || event.key === "k") && !isTyping || event.key === "ArrowDown" && isTyping) {
    const all = [...document.querySelectorAll("#list > li > details > summary")];
    const at = all.indexOf(document.activeElement?.closest?.("#list > li")?.querySelector("summary"));
    all[event.key === "k" ? Math.max(at - 1, 0) : Math.min(at + 1, all.length - 1)]?.focus();
  } else {
    return;
  }
  event.preventDefault();
});

setText($("host"), location.host);
for (const [path, word] of [["metrics", "Metrics"], ["readyz", "Health"], ["api/v1/openapi.json", "API"]]) {
  $("links").append(el("a", { href: base + path }, word));
}
setInterval(tick, 1000);
look().then(openLinked);
stream();
