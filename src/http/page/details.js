
// ---- Everything about one cluster ----

function details({ cluster, decisions }) {
  return [
    el("section", { "data-part": "drawing" }, el("h3", {}, "Who sees whom"), drawing(cluster), el("p", { class: "legend" }, legend(cluster))),
    el("section", { "data-part": "vote" }, el("h3", {}, "The vote"), vote(cluster), waitingLeases(cluster),
      el("h3", {}, "What the votes add up to"), sums(cluster)),
    cluster.warnings.length
      ? el("section", { class: "wide", "data-part": "warnings" }, el("h3", {}, "Warnings"),
        el("ul", { class: "warnings" }, cluster.warnings.map((text) => el("li", {}, sentence(printable(text)).replace(/\.\.$/, ".")))))
      : null,
    el("section", { class: "wide", "data-part": "nodes" }, el("h3", {}, "Nodes"), nodeTable(cluster)),
    el("section", { class: "wide", "data-part": "decisions" }, el("h3", {}, "Last decisions"), decisionList(decisions)),
    el("section", { class: "wide", "data-part": "settings" }, el("h3", {}, "Settings and certificates"), settings(cluster)),
  ].filter(Boolean);
}

function vote(cluster) {
  const { decision, vote_held_by: holders } = cluster;
  const said = [el("p", {}, el("strong", {}, holders.length ? `${sentence(nodesNamed(holders)).slice(0, -1)} ${holders.length === 1 ? "has" : "have"} the vote.` : "Nobody has the vote."))];
  if (decision && decision.rule !== "undecided") {
    said.push(el("p", {}, "Reason: ", sentence(printable(decision.reason))));
    if (decision.waiting_for) said.push(el("p", {}, "Waits: ", sentence(printable(decision.waiting_for))));
    said.push(el("p", { class: "quiet" }, "Decided ", moment(decision.unix_ms)));
  } else if (!decision) {
    said.push(el("p", { class: "quiet" }, "With this algorithm every node is decided on by itself; the reasons are in the table of nodes."));
  }
  return said;
}

function waitingLeases(cluster) {
  // What the shell takes as it is; a name with escapes in it is not what the command wants.
  const plain = /^[\w./:@%+=][-\w./:@%+=]*$/.test(cluster.name);
  const whole = cluster.name.length <= 128 && !cluster.name.includes("\\");
  const name = !whole ? "NAME" : plain ? cluster.name : `'${printable(cluster.name).replaceAll("'", "'\\''")}'`;
  return cluster.leases.map((lease) => el("p", {}, el("strong", {}, "Lease: "),
    `${lease.node ? `node ${lease.node}` : "a node that the journal may have lost (power cut or damage)"} can't be reached and may still cast the vote `,
    lease.remaining_ms === undefined ? `until it returns or is released (qarbiter release --cluster ${name})` : ["for ", until(cluster.seen_at + lease.remaining_ms), " at most"], "."));
}

function sums({ quorum, algorithm }) {
  if (!quorum) return el("p", { class: "quiet" }, "Not known before a node has reported which nodes are configured.");
  const row = (name, value) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, String(value)));
  const device = quorum.device_votes === 1 ? "1" : `${quorum.device_votes} (nodes less one)`;
  return [
    el("p", {}, `Assuming one vote for ${quorum.nodes === 1 ? "the node" : `each of the ${quorum.nodes} nodes`} and ${device} for the arbiter (nodes do not report their votes): `,
      `${quorum.expected_votes} in all, and ${quorum.quorum} are needed to run.`,
      quorum.nodes % 2 && quorum.nodes > 1 ? " The number of nodes is odd: see the warnings." : ""),
    el("table", { class: "sums" }, el("tbody", {},
      row("Expected votes", quorum.expected_votes),
      row(`Votes of the arbiter (${algorithm})`, quorum.device_votes),
      row("Votes needed (quorum)", quorum.quorum),
      row("Nodes that may fail with the arbiter", quorum.tolerated_with_arbiter),
      row("… while the arbiter is down", quorum.tolerated_without_arbiter),
      row("… if there were no arbiter", quorum.tolerated_with_no_device))),
  ];
}

function nodeTable(cluster) {
  const head = ["Node", "State", "Vote", "Sees", "Heartbeat", "From", "Why"];
  const votes = { ack: "has it", nack: "not given" };
  const connected = cluster.nodes.map((node) => ({ id: node.node, cells: [
    `connected${{ true: ", quorate", false: ", no quorum" }[node.quorate] ?? ""}`, votes[node.verdict] ?? "waits", node.membership.length ? listed(node.membership) : "not reported",
    [since(cluster.seen_at - node.heartbeat_age_ms), ` ago, every ${node.heartbeat_ms / 1000} s`],
    `${printable(node.address)}${node.tls ? (node.certificate_verified ? ", TLS, own certificate" : ", TLS") : ", CLEAR TEXT"}`,
    [node.reason ? printable(node.reason) : "", node.heuristics ? ` (heuristics: ${node.heuristics})` : ""],
  ] }));
  const absent = cluster.absent.map((node) => ({ id: node.node, cells: [
    node.gone_ms === undefined ? "never connected" : ["not connected for ", since(cluster.seen_at - node.gone_ms)], "–", "–", "–", "–", "",
  ] }));
  const rows = [...connected, ...absent].sort((a, b) => a.id - b.id);
  return el("div", { class: "scroll" }, el("table", { class: "nodes" },
    el("thead", {}, el("tr", {}, head.map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, rows.map(({ id, cells }) => el("tr", {}, el("th", { scope: "row" }, String(id)), cells.map((cell) => el("td", {}, cell)))))));
}

function decisionList(decisions) {
  if (!decisions.length) return el("p", { class: "quiet" }, "None since the arbiter started.");
  const outcome = (made) => {
    const to = made.winner.length ? nodesNamed(made.winner) : "nobody";
    const word = { granted: `Vote to ${to}`, withheld: `Vote to ${to} has to wait`, nobody: "Nobody gets the vote" }[made.outcome] ?? made.outcome;
    return made.node === undefined ? word : `Node ${made.node}: ${word[0].toLowerCase()}${word.slice(1)}`;
  };
  return el("ol", { class: "decisions" }, decisions.map((made) => el("li", { class: made.outcome, "data-part": `decision ${made.number}` },
    el("div", {}, el("strong", {}, outcome(made)), " ", moment(made.unix_ms)),
    el("div", {}, sentence(printable(made.reason)), made.waiting_for ? ` Waits: ${printable(made.waiting_for)}.` : ""),
    el("details", {}, el("summary", { class: "quiet" }, `${made.algorithm}, rule ${made.rule}: what the nodes had reported`), inputs(made)))));
}

function inputs(decision) {
  if (!decision.inputs.length) return el("p", { class: "quiet" }, "Nothing: no node was connected.");
  return el("div", { class: "scroll" }, el("table", {},
    el("thead", {}, el("tr", {}, ["Node", "Ring", "Saw", "Configured", "Heuristics"].map((name) => el("th", { scope: "col" }, name)))),
    el("tbody", {}, decision.inputs.map((input) => el("tr", {}, el("th", { scope: "row" }, String(input.node)),
      [input.ring, input.membership.length ? listed(input.membership) : "nothing yet", `${input.configured} nodes`, input.heuristics ?? "none"]
        .map((cell) => el("td", {}, cell)))))));
}

function settings(cluster) {
  const leases = !cluster.vote_leases ? "off: a lost node's vote can be given away at once"
    : `on: a lost node's vote is withheld until it must have expired${cluster.algorithm === "ffsplit" ? "" : `; lost_holder ${cluster.lost_holder}`}`;
  return [
    el("p", {}, `Algorithm ${cluster.algorithm}, tie-breaker ${printable(cluster.tie_breaker)}, rules ${cluster.rules}, leases ${leases}.`),
    ...cluster.certificates.slice(0, 4).map((one) => {
      const left = one.not_after_unix * 1000 - arbiterNow();
      return el("p", {}, `Certificate ${one.serial}: ${left > 0 ? `until ${date(one.not_after_unix * 1000)} (${span(left)})` : `ENDED ${date(one.not_after_unix * 1000)}`}, last seen `, moment(one.last_seen_unix * 1000), ".");
    }),
    cluster.nodes.length && !cluster.certificates.length ? el("p", { class: "quiet" }, "No certificate of this cluster was seen.") : null,
  ].filter(Boolean);
}
