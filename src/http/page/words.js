
// ---- Words ----

const LEVELS = {
  critical: { word: "CRITICAL", rank: 0 },
  degraded: { word: "DEGRADED", rank: 1 },
  ok: { word: "OK", rank: 2 },
};

// What comes from outside may have characters in it that are not seen, or that turn the text around
// them: they are shown as what they are.
const printable = (text) =>
  String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}\p{Cn}]/gu,
    (c) => `\\u{${c.codePointAt(0).toString(16)}}`);

const count = (n, one, several) => `${n} ${n === 1 ? one : several}`;

// "1, 2 and 3"; long lists are cut short.
function listed(ids) {
  if (ids.length > 16) return `${ids.slice(0, 16).join(", ")} and ${ids.length - 16} more`;
  return ids.length < 2 ? ids.join("") : `${ids.slice(0, -1).join(", ")} and ${ids.at(-1)}`;
}

const nodesNamed = (ids) => (ids.length === 1 ? `node ${ids[0]}` : `nodes ${listed(ids)}`);

const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + "." : "");

// "3 min", "2 h 5 min", "4 days".
function span(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 100) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} days`;
}

// The time of day; with the date if that was not today.
function clock(ms) {
  const at = new Date(ms);
  const pad = (n) => String(n).padStart(2, "0");
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  return at.toDateString() === new Date().toDateString() ? time : `${date(ms)} ${time}`;
}

function date(ms) {
  const at = new Date(ms);
  const pad = (n) => String(n).padStart(2, "0");
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())}`;
}
