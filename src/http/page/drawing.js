
// ---- The drawing: who sees whom, and where the vote is ----

const CELL = 46; // room for a node
const ACROSS = 4; // nodes side by side
const ROOM = 400; // width of the drawing
const MOST_DRAWN = 24; // nodes in one box

// How the arbiter knows each node: connected, unlinked (others see it, the arbiter does not), gone
// or never.
function nodeStates(cluster) {
  const states = new Map(cluster.nodes.map((node) => [node.node, "connected"]));
  for (const { node, gone_ms } of cluster.absent) states.set(node, gone_ms === undefined ? "never" : "gone");
  for (const partition of cluster.partitions) {
    for (const node of partition.nodes) if (states.get(node) !== "connected") states.set(node, "unlinked");
  }
  return states;
}

function drawing(cluster) {
  const states = nodeStates(cluster);
  const placed = new Set(cluster.partitions.flatMap((partition) => partition.nodes));
  const boxes = cluster.partitions.map((partition) => ({ ...partition, kind: "partition" }));
  const connecting = cluster.nodes.map((node) => node.node).filter((node) => !placed.has(node));
  if (connecting.length) boxes.push({ nodes: connecting, kind: "connecting" });
  const leases = new Set(cluster.leases.map((lease) => lease.node));
  const lost = [...states].filter(([node, state]) => state !== "connected" && !placed.has(node)).map(([node]) => node);
  for (const node of leases) if (node && !states.has(node)) { states.set(node, "gone"); lost.push(node); }
  if (lost.length) boxes.push({ nodes: lost.sort((a, b) => a - b), kind: "lost" });
  const voters = new Set(cluster.vote_held_by);
  const height = arrange(boxes);
  const shapes = [];
  for (const box of boxes) {
    if (box.kind !== "lost" && box.nodes.some((node) => states.get(node) === "connected")) {
      const x = box.x + box.width / 2;
      shapes.push(svg("path", { class: box.has_vote ? "wire vote" : "wire", d: `M${ROOM / 2} 36C${ROOM / 2} 62 ${x} 50 ${x} ${box.y}` }));
    }
  }
  shapes.push(svg("g", {}, svg("rect", { class: "judge", x: ROOM / 2 - 48, y: 6, width: 96, height: 30, rx: 6 }),
    svg("text", { x: ROOM / 2, y: 26 }, "arbiter")));
  boxes.forEach((box, i) => {
    shapes.push(drawBox(box, states, voters, leases));
    const next = boxes[i + 1];
    if (next && box.kind === "partition" && next.kind === "partition" && next.y === box.y) {
      const x = (box.x + box.width + next.x) / 2;
      const middle = box.y + Math.max(box.height, next.height) / 2;
      shapes.push(svg("path", { class: "cut", d: `M${x + 3} ${middle - 26}l-6 17h6l-6 17h6l-6 17` }));
    }
  });
  return svg("svg", { class: "drawing", viewBox: `0 0 ${ROOM} ${height}`, role: "img", "aria-label": spoken(cluster, boxes, states) }, shapes);
}

// Places the boxes in rows below the arbiter; returns the height of it all.
function arrange(boxes) {
  for (const box of boxes) {
    box.shown = box.nodes.slice(0, box.nodes.length > MOST_DRAWN ? MOST_DRAWN - 1 : MOST_DRAWN);
    const cells = box.nodes.length > MOST_DRAWN ? MOST_DRAWN : box.nodes.length;
    box.across = Math.min(cells, boxes.length > 1 ? ACROSS : 8);
    box.width = Math.max(box.across * CELL + 12, 96);
    box.height = Math.ceil(cells / box.across) * CELL + 28;
  }
  const GAP = 22;
  const rows = [];
  for (const box of boxes) {
    const row = rows.at(-1);
    if (row && row.width + GAP + box.width <= ROOM) {
      row.boxes.push(box);
      row.width += GAP + box.width;
    } else {
      rows.push({ boxes: [box], width: box.width });
    }
  }
  let y = 66;
  for (const row of rows) {
    let x = (ROOM - row.width) / 2;
    for (const box of row.boxes) {
      Object.assign(box, { x, y });
      x += box.width + GAP;
    }
    y += Math.max(...row.boxes.map((box) => box.height)) + GAP;
  }
  return y - GAP + 4;
}

function drawBox(box, states, voters, leases) {
  const label = { connecting: "not heard yet", lost: "not connected" }[box.kind] ?? (box.has_vote ? "has the vote" : "no vote");
  const parts = [];
  if (box.kind !== "lost") parts.push(svg("rect", { class: "box", x: box.x, y: box.y, width: box.width, height: box.height, rx: 8 }));
  const inset = (box.width - box.across * CELL) / 2;
  const place = (i) => [box.x + inset + (i % box.across + .5) * CELL, box.y + 6 + (Math.floor(i / box.across) + .5) * CELL];
  box.shown.forEach((node, i) => parts.push(drawNode(node, place(i), states.get(node), voters.has(node), leases.has(node))));
  if (box.nodes.length > box.shown.length) {
    const [x, y] = place(box.shown.length);
    parts.push(svg("text", { x, y: y + 5 }, `+${box.nodes.length - box.shown.length}`));
  }
  parts.push(svg("text", { class: "label", x: box.x + box.width / 2, y: box.y + box.height - 8 }, label));
  return svg("g", { class: box.has_vote ? "with-vote" : "" }, parts);
}

function drawNode(node, [x, y], state, votes, leased) {
  const id = String(node);
  const size = id.length < 4 ? 13 : Math.max(5, 44 / id.length);
  const badge = (d) => [svg("circle", { class: "mark", cx: x + 13, cy: y - 12, r: 8 }), svg("path", { class: "tick", d })];
  return svg("g", { class: `node ${state}${leased ? " lease" : ""}` },
    svg("circle", { class: "body", cx: x, cy: y, r: 17 }),
    svg("text", { x, y: y + size / 3, "font-size": size }, id),
    state === "gone" ? svg("path", { class: "strike", d: `M${x - 12} ${y + 12}L${x + 12} ${y - 12}` }) : null,
    votes ? badge(`M${x + 9} ${y - 12}l3 3 5-6`) : null,
    leased ? badge(`M${x + 13} ${y - 16}v4.5l3 2`) : null);
}

// The same in words.
function spoken(cluster, boxes, states) {
  const part = (box) => {
    if (box.kind === "lost") return `not connected: ${nodesNamed(box.nodes)}`;
    if (box.kind === "connecting") return `connected, and nothing reported yet: ${nodesNamed(box.nodes)}`;
    const unlinked = box.nodes.filter((node) => states.get(node) === "unlinked");
    return `${nodesNamed(box.nodes)} see each other and ${box.has_vote ? "have" : "do not have"} the vote` +
      (unlinked.length ? `, ${nodesNamed(unlinked)} without a connection to the arbiter` : "");
  };
  return sentence(boxes.map(part).join("; ")) || "No node is known.";
}

// What the signs mean that are in the drawing.
function legend(cluster) {
  const kinds = new Set(nodeStates(cluster).values());
  const said = [];
  if (cluster.vote_held_by.length) said.push("✓ has the vote");
  if (kinds.has("unlinked")) said.push("dashed: seen by others, not connected to the arbiter");
  if (kinds.has("gone")) said.push("struck: was connected");
  if (kinds.has("never")) said.push("dotted: never connected");
  if (cluster.leases.length) said.push("clock: lost, may still cast the vote");
  return said.join(" · ");
}
