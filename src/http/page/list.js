
// ---- The list of clusters ----

const rows = new Map(); // key -> its <li>
const open = new Map(); // key -> { cluster, decisions }, or null before they are known

// A cluster is known by its name as paths have it: what is shown of two names may be the same.
const keyOf = (summary) => summary.path.slice(summary.path.lastIndexOf("/") + 1);

const summaryOf = (cluster) => ({
  name: cluster.name, path: cluster.path, health: cluster.health, connected: cluster.nodes.length,
  configured: cluster.quorum?.nodes ?? cluster.nodes.length + cluster.absent.length, warnings: cluster.warnings.length,
});

function drawRow(li, summary) {
  const { level, sentence } = summary.health;
  const configured = Math.max(summary.configured, summary.connected);
  const row = el("summary", { class: `row ${level}` },
    levelMark(level),
    el("span", { class: "said" }, el("bdi", { class: "name" }, printable(summary.name)), ": ", printable(sentence)),
    el("span", { class: "side" },
      summary.warnings ? el("span", { class: "warn", title: count(summary.warnings, "warning", "warnings") }, shape("warning"), String(summary.warnings),
        el("span", { class: "unseen" }, summary.warnings === 1 ? " warning" : " warnings")) : null,
      el("span", { title: "connected nodes, of those that are configured" }, `${summary.connected}/${configured}`, el("span", { class: "unseen" }, " nodes connected"))));
  const kept = li.firstChild;
  if (kept) morph(kept.firstChild, row);
  else li.append(el("details", {}, row, el("div", { class: "inside" })));
  if (li.dataset.level !== level) {
    li.classList.remove(li.dataset.level);
    li.classList.add(level);
    if (li.dataset.level) {
      // Starts the animation again if it is running.
      li.classList.remove("changed");
      void li.offsetWidth;
      li.classList.add("changed");
    }
    li.dataset.level = level;
  }
}

function drawInside(key) {
  const li = rows.get(key);
  if (!li) return;
  const details_ = li.firstChild;
  const known = open.get(key);
  details_.open = open.has(key);
  li.classList.toggle("open", details_.open);
  if (!details_.open) return details_.lastChild.replaceChildren();
  morphChildren(details_.lastChild, known ? details(known) : [el("p", { class: "quiet" }, "asking…")]);
}

// Shows these clusters in this order.
function drawList(summaries) {
  const list = $("list");
  const focused = document.activeElement;
  const wanted = new Map(summaries.map((summary) => [keyOf(summary), summary]));
  for (const [key, li] of rows) {
    if (!wanted.has(key)) {
      li.remove();
      rows.delete(key);
      open.delete(key);
    }
  }
  let place = list.firstElementChild;
  for (const [key, summary] of wanted) {
    let li = rows.get(key);
    if (!li) {
      li = el("li", { "data-key": key });
      rows.set(key, li);
    }
    drawRow(li, summary);
    if (li === place) place = place.nextElementSibling;
    else list.insertBefore(li, place);
  }
  // Who reads a row that moves goes with it.
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

// Clusters whose nodes have all left: nothing more is known of them.
function drawGone(gone, all) {
  const more = all - gone.length;
  morphChildren($("gone"), [...gone.map(({ name, gone_ms }) =>
    el("li", { class: "row critical" }, levelMark("critical"),
      el("span", { class: "said" }, el("bdi", { class: "name" }, printable(name)), `: no node has been connected for ${span(gone_ms)}`))),
  ...(more > 0 ? [el("li", { class: "row critical" }, levelMark("critical"), el("span", { class: "said" }, `${more} more without a connected node`))] : [])]);
}

const FILTERS = [
  ["", "All", "clusters"], ["critical", "Critical", "critical"], ["degraded", "Degraded", "degraded"],
  ["ok", "OK", "ok"], ["warned", "Warnings", "warned"],
];

function drawFilters(counts, chosen) {
  morphChildren($("filters"), FILTERS.map(([value, word, field]) =>
    el("button", { type: "button", "data-filter": value, "aria-pressed": String(value === chosen), class: LEVELS[value] ? `level ${value}` : value === "warned" ? "warn" : "" },
      LEVELS[value] ? shape(value) : value === "warned" ? shape("warning") : null, el("span", {}, word), " ", el("b", {}, String(counts[field])))));
}

// No cluster has ever joined: what to do next.
function drawEmpty() {
  const host = /^(localhost|127\..*|\[::1\])$/.test(location.hostname) ? "ARBITER-ADDRESS" : location.hostname;
  $("empty").replaceChildren(
    el("h2", {}, "No cluster has joined yet"),
    el("p", {}, "The arbiter is ready. Join a cluster with an even number of nodes:"),
    el("p", {}, "Proxmox VE, on one node (corosync-qdevice is installed on all):"),
    el("pre", {}, el("code", {}, `pvecm qdevice setup ${host}`)),
    el("p", {}, "Plain corosync, on one node, with ssh as root to the arbiter and all nodes:"),
    el("pre", {}, el("code", {}, `corosync-qdevice-net-certutil -Q -n CLUSTER ${host} NODE1 NODE2`)),
    el("p", { class: "quiet" }, "then add the device section to corosync.conf that ", el("code", {}, "qarbiter advise --nodes 2 --host ADDRESS"),
      " prints. The cluster appears here by itself as soon as its first node connects."));
}

// ---- What changed, for who does not see it ----

let before = new Map();

function tellChanges(shown, counts) {
  const now = new Map(shown.map((one) => [keyOf(one), one]));
  const changed = [...now].filter(([key, one]) => before.has(key) && before.get(key) !== one.health.level);
  if (changed.length > 3) {
    setText($("changes"), `${changed.length} clusters changed; now ${counts.critical} critical and ${counts.degraded} degraded.`);
  } else if (changed.length) {
    setText($("changes"), changed.map(([key, { name, health }]) =>
      `${printable(name)} was ${LEVELS[before.get(key)].word} and is now ${LEVELS[health.level].word}: ${health.sentence}.`).join(" "));
  }
  for (const [key, one] of now) before.set(key, one.health.level);
}
