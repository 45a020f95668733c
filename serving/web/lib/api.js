// Talks to the service. Errors carry the fix that the API gives.

export class ApiError extends Error {
  constructor(message, fix, status, type) {
    super(message);
    this.fix = fix;
    this.status = status;
    this.type = type;
  }
}

async function errorOf(response) {
  let body = {};
  try { body = await response.json(); } catch { /* not ours: a proxy, say */ }
  if (response.status === 401 && body.error?.type === "LoginNeeded") dispatchEvent(new Event("login-needed"));
  if (body.error) return new ApiError(body.error.message, body.error.fix, response.status, body.error.type);
  if (Array.isArray(body.detail)) {
    const faults = body.detail.map(fault => `${fault.loc.slice(1).join(".") || "request"}: ${fault.msg}`);
    return new ApiError(faults.join("; "), "change those fields and try again.", response.status);
  }
  return new ApiError(`The service answered ${response.status}.`, "try again in a moment.", response.status);
}

async function send(path, options = {}) {
  let response;
  try {
    response = await fetch(path, {...options, headers: {"X-Twin-UI": "1", ...options.headers}});
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("The service does not answer.", "check that it runs (`twin up`), then try again.", 0);
  }
  if (!response.ok) throw await errorOf(response);
  return response;
}

const asJson = (method, body) => ({method, headers: {"Content-Type": "application/json"}, body: JSON.stringify(body)});

export const get = async (path, signal) => (await send(path, {signal})).json();
export const file = async path => (await send(path)).blob();
export const post = async (path, body = {}) => (await send(path, asJson("POST", body))).json();
export const remove = async path => (await send(path, {method: "DELETE"})).json();
export const patch = async (path, body) => (await send(path, asJson("PATCH", body))).json();
export const put = async (path, body) => (await send(path, asJson("PUT", body))).json();

/** Send a file as it is. `onProgress` gets the bytes sent so far; aborting the signal breaks it off. */
export function upload(path, file, {signal, onProgress}) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    request.setRequestHeader("X-Twin-UI", "1");
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.upload.onprogress = event => onProgress(event.loaded);
    request.onload = async () => {
      const response = new Response(request.responseText, {status: request.status});
      if (response.ok) resolve(await response.json());
      else reject(await errorOf(response));
    };
    request.onerror = () => reject(new ApiError("The upload broke off.", "check that the service runs and that the file is still there, then try again.", 0));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(file);
  });
}

/** Query string of what is set. */
export const query = values => new URLSearchParams(Object.entries(values).filter(([, value]) => value)).toString();

/**
 * Ask for a text. Calls `onText` with all of it so far, and gives back text, model, citations, outcome, a
 * notice where there is one, what a question of a talk was understood as, how many of its turns were too many, whether its thread has it, and the request's id. The service may stream or answer at once.
 */
export async function generate(path, body, {signal, onText}) {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(16)), byte => byte.toString(16).padStart(2, "0")).join("");
  const options = asJson("POST", {...body, stream: true});
  options.headers["X-Request-ID"] = id;
  const response = await send(path, {...options, signal});
  const answer = {text: "", model: "", citations: [], outcome: "answered", requestId: response.headers.get("x-request-id") ?? id};
  const add = data => {
    const choice = data.choices?.[0];
    answer.text += choice?.delta?.content ?? choice?.message?.content ?? data.text ?? "";
    answer.model = data.model ?? answer.model;
    answer.citations = data.citations ?? answer.citations;
    answer.outcome = data.outcome ?? answer.outcome;
    answer.notice = data.notice ?? answer.notice;
    answer.understood = data.understood_as ?? answer.understood;
    answer.turnsLeftOut = data.turns_left_out ?? answer.turnsLeftOut;
    answer.threadKept = data.thread_kept ?? answer.threadKept;
    onText(answer.text);
  };
  if (!response.headers.get("content-type")?.startsWith("text/event-stream")) {
    add(await response.json());
    return answer;
  }
  for await (const data of eventsOf(response)) {
    if (data.error) throw new ApiError(data.error.message, data.error.fix, 200);
    add(data);
  }
  return answer;
}

/** Ask for a text in steps. `onEvent` gets each event; gives back the last one, after what was written is told even of a chain that broke off. */
export async function chain(body, {signal, onEvent}) {
  const response = await send("/v1/write", {...asJson("POST", {...body, chain: true}), signal});
  let last = null;
  for await (const data of eventsOf(response)) {
    onEvent(data);
    if (data.event === "end") last = data;
  }
  if (!last) throw new ApiError("The text broke off.", "what was written stands here; go on from there.", 200);
  if (last.error) throw new ApiError(last.error.message, last.error.fix, 200);
  return last;
}

async function* eventsOf(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let part; !(part = await reader.read()).done;) {
    const events = (rest + part.value).split(/\r?\n\r?\n/);
    rest = events.pop();
    for (const event of events) {
      if (event.startsWith("data:") && !event.includes("[DONE]")) yield JSON.parse(event.slice(5));
    }
  }
}
