
// ---- The arbiter itself ----

const CHECKS = { votes: "votes", vote_port: "port", certificates: "certificates", journal: "journal", history: "history", control_socket: "control socket" };

// Warnings that are seen without asking for them, so that they do not push the clusters away.
const SHOWN = 3;

function drawArbiter(arbiter, certificates) {
  const failed = arbiter.health.checks.filter((check) => !check.ok);
  const tls = arbiter.tls === "required" && arbiter.client_certificates_required
    ? "TLS and certificates required"
    : `TLS ${arbiter.tls}${arbiter.tls === "unsupported" ? "" : ", certificates of nodes not required"}`;
  const journal = arbiter.health.checks.find((check) => check.name === "journal");
  // What the arbiter warns of is said once: a failed check in its own words.
  const warnings = arbiter.warnings.map((text) => el("li", {}, sentence(printable(text)).replace(/\.\.$/, ".")));
  const facts = [
    [failed.length ? levelMark("critical") : levelMark("ok"), el("strong", {}, "Arbiter "),
      failed.length ? `${failed.map((check) => CHECKS[check.name] ?? check.name).join(", ")}: not in order` : "serves"],
    [el("span", { class: "key" }, "version "), arbiter.version],
    [el("span", { class: "key" }, "up "), since(arbiter.started_unix_ms)],
    [el("span", { class: "key" }, "nodes connect to "), arbiter.vote_address || "nothing yet"],
    [tls],
    [el("span", { class: "key" }, "journal "), !journal ? "not looked at" : !journal.ok ? "FAILING" : /there is none/.test(journal.detail) ? "none" : "ok"],
    ...ends(certificates),
    [`${count(arbiter.connections, "connection", "connections")}`],
  ];
  morphChildren($("arbiter"), [
    el("ul", { class: "facts", "data-part": "facts" }, facts.map((fact) => el("li", {}, fact.flatMap((part, i) => (i ? [" ", part] : [part]))))),
    ...(failed.length || warnings.length
      ? [el("ul", { class: "warnings", "data-part": "warnings" },
        failed.map((check) => el("li", { class: "grave" }, `${sentence(CHECKS[check.name] ?? check.name).slice(0, -1)}: ${printable(check.detail)}`)),
        warnings.slice(0, SHOWN))]
      : []),
    ...(warnings.length > SHOWN
      ? [el("details", { "data-part": "more" }, el("summary", {}, `${warnings.length - SHOWN} more warnings`),
        el("ul", { class: "warnings" }, warnings.slice(SHOWN)))]
      : []),
    el("details", { "data-part": "checks" }, el("summary", {}, "What was looked at, and certificates"),
      el("div", { class: "scroll" }, el("table", {}, el("tbody", {},
        arbiter.health.checks.map((check) => el("tr", {},
          el("th", { scope: "row" }, CHECKS[check.name] ?? check.name), el("td", {}, check.ok ? "ok" : "not ok"),
          el("td", {}, printable(check.detail)))),
        certificates.map((one) => el("tr", {},
          el("th", { scope: "row" }, `${role(one)} certificate`),
          el("td", {}, printable(one.key)),
          el("td", {}, `${printable(one.subject)}, ${date(one.not_before_unix * 1000)} to ${date(one.not_after_unix * 1000)}, `,
            "SHA-256 ", el("code", {}, one.sha256.slice(0, 16)), "…"))))))),
  ]);
  $("arbiter").classList.toggle("failed", failed.length > 0);
}

const role = (certificate) => (certificate.role === "ca" ? "CA" : certificate.role);

// When the arbiter's own certificates end.
function ends(certificates) {
  return certificates.map((one) => {
    const left = one.not_after_unix * 1000 - arbiterNow();
    return [el("span", { class: "key" }, `${role(one)} certificate `),
      left > 0 ? `until ${date(one.not_after_unix * 1000)} (${span(left)})` : `ENDED ${date(one.not_after_unix * 1000)}`];
  });
}
