// Numbers, dates and names for reading.

export const number = value => value == null ? "–" : new Intl.NumberFormat("en-GB").format(value);
export const share = value => value == null ? "–" : `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)}%`;
export const figure = value => value == null ? "–" : value.toFixed(2);
export const signed = value => value == null ? "–" : `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(3)}`;
export const decimal = value => value == null ? "–" : Number.isInteger(value) ? number(value) : value.toPrecision(4);
export const day = value => value ? new Date(value).toLocaleDateString("en-GB", {day: "numeric", month: "short", year: "numeric"}) : "no date";
export const moment = value => value ? new Date(value).toLocaleString("en-GB", {day: "numeric", month: "short", hour: "2-digit", minute: "2-digit"}) : "never";
export const millis = value => value == null ? "–" : value < 1000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`;
export const dollars = value => value == null ? "–" : `$${value >= 100 ? Math.round(value) : value >= 1 || value === 0 ? value.toFixed(2) : +value.toPrecision(2)}`;
export const bytes = value => value < 1e5 ? `${(value / 1e3).toFixed(1)} kB` : value > 1e9 ? `${(value / 1e9).toFixed(1)} GB` : `${(value / 1e6).toFixed(1)} MB`;
export const words = name => name.replaceAll("_", " ");
/** What stands behind a piece that not everybody may see; nothing for one that is public. */
export const closed = piece => piece.visibility === "connections" ? " · for connections only" : piece.visibility === "private" ? " · private" : "";
export const capital = text => text.charAt(0).toUpperCase() + text.slice(1);

const NAMES = {x_post: "X post", linkedin_post: "LinkedIn post", url: "URL", api: "API base", cpt: "Continued pre-training", sft: "SFT", dpo: "DPO", kto: "KTO", orpo: "ORPO", grpo: "GRPO"};
/** A key for reading; `titles` are those of the sources, where it may be one. */
export const name = (key, titles = {}) => titles[key] ?? NAMES[key] ?? capital(words(key));
/** `twin-runa-dpo:abc` is long; its hash is enough where the persona is known. */
export const shortModel = tag => (tag ?? "").replace(/^twin-[a-z0-9-]+-(base|cpt|sft|dpo|kto|orpo|grpo):/, (_, stage) => `${stage} · `);
