// Renders /openapi.json and sends requests. Nothing is loaded from anywhere else.

import { byId, make } from "/page/dom.js";

const paragraph = (text) => (text ? make("p", { textContent: text }) : null);

/** The schema that is meant, where one may be null or stands elsewhere. */
function plain(schema, api) {
  if (schema.$ref) return plain(api.components.schemas[schema.$ref.split("/").pop()], api);
  const given = (schema.anyOf ?? []).filter((each) => each.type !== "null");
  return given.length === 1 ? { ...plain(given[0], api), ...schema, anyOf: undefined } : schema;
}

/** The control in which one parameter or field of a form is written. */
function control(name, schema, required) {
  const choices = schema.enum ?? (schema.const === undefined ? null : [schema.const]);
  if (choices) {
    const options = required ? choices : ["", ...choices];
    return make("select", { name, required }, ...options.map((each) => make("option", { textContent: each })));
  }
  const items = schema.items ?? schema;
  if (items.format === "binary") return make("input", { name, required, type: "file", multiple: schema.type === "array" });
  if (schema.type === "object") return make("textarea", { name, placeholder: "{}", spellcheck: false });
  const example = schema.default ?? schema.examples?.[0] ?? "";
  return make("input", { name, required, placeholder: String(example) });
}

function labelled(field) {
  const about = [field.required ? "" : "optional", field.schema.description].filter(Boolean).join(" · ");
  return make("label", {}, make("code", { textContent: field.name }), make("span", { className: "note", textContent: about }), field.control);
}

/** Everything that a call lets one write: parameters of the path and the query, fields of the form. */
function fieldsOf(call, api) {
  const field = (place, name, raw, required) => {
    const schema = plain(raw, api);
    return { place, name, schema, required, control: control(name, schema, required) };
  };
  const parameters = (call.parameters ?? []).map((each) => {
    const schema = { description: each.description, ...each.schema };
    return field(each.in, each.name, schema, Boolean(each.required));
  });
  const form = call.requestBody?.content?.["multipart/form-data"]?.schema;
  const parts = Object.entries(form?.properties ?? {}).map(([name, schema]) =>
    field("form", name, schema, (form.required ?? []).includes(name)));
  return [...parameters, ...parts];
}

/** What `fetch` is to be told. */
function requestOf(method, path, fields) {
  const query = new URLSearchParams();
  const body = new FormData();
  const written = { path };
  for (const { place, name, control } of fields) {
    for (const value of control.type === "file" ? control.files : [control.value]) {
      if (value === "") continue;
      if (place === "path") written.path = written.path.replace(`{${name}}`, encodeURIComponent(value));
      if (place === "query") query.append(name, value);
      if (place === "form") body.append(name, value);
    }
  }
  const key = byId("key").value;
  return {
    url: [written.path, query.toString()].filter(Boolean).join("?"),
    options: {
      method: method.toUpperCase(),
      headers: key ? { Authorization: `Bearer ${key}` } : {},
      body: fields.some((field) => field.place === "form") ? body : undefined,
    },
  };
}

async function send(method, path, fields, output) {
  const { url, options } = requestOf(method, path, fields);
  output.textContent = "…";
  try {
    const answer = await fetch(url, options);
    const shown = ["content-type", "location", "retry-after", "x-request-id"]
      .filter((name) => answer.headers.has(name)).map((name) => `${name}: ${answer.headers.get(name)}`);
    const text = await answer.text();
    const isJson = (answer.headers.get("content-type") ?? "").includes("json");
    const body = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
    output.textContent = [`${options.method} ${url}`, `${answer.status} ${answer.statusText}`, ...shown, "", body].join("\n");
  } catch (error) {
    output.textContent = `${options.method} ${url}\n${error}`;
  }
}

function answersOf(call) {
  const list = make("dl");
  for (const [status, answer] of Object.entries(call.responses)) {
    const codes = Object.values(answer.content ?? {}).flatMap((each) => Object.keys(each.examples ?? {}));
    const about = codes.length ? `${answer.description}: ${codes.join(", ")}` : answer.description;
    list.append(make("dt", { textContent: status }), make("dd", { textContent: about }));
  }
  return list;
}

function render(method, path, call, api) {
  const fields = fieldsOf(call, api);
  const output = make("pre", { hidden: true });
  const form = make("form", {}, ...fields.map(labelled), make("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    send(method, path, fields, output);
  });
  const title = make("summary", {}, make("span", { className: "method", textContent: method.toUpperCase() }),
    make("code", { textContent: path }), ` ${call.summary ?? ""}`);
  return make("details", { id: call.operationId }, title, paragraph(call.description), form, output, answersOf(call));
}

function renderAll(api) {
  byId("about").textContent = `${api.info.description} Version ${api.info.version}.`;
  const groups = new Map();
  for (const [path, calls] of Object.entries(api.paths)) {
    for (const [method, call] of Object.entries(calls)) {
      const tag = call.tags?.[0] ?? "other";
      if (!groups.has(tag)) groups.set(tag, make("section", {}, make("h2", { textContent: tag })));
      groups.get(tag).append(render(method, path, call, api));
    }
  }
  byId("calls").replaceChildren(...groups.values());
  byId("schemas").replaceChildren(...Object.entries(api.components.schemas).map(([name, schema]) =>
    make("details", { id: `schema-${name}` }, make("summary", {}, make("code", { textContent: name })),
      paragraph(schema.description), make("pre", { textContent: JSON.stringify(schema, null, 2) }))));
}

try {
  renderAll(await (await fetch("/openapi.json")).json());
} catch (error) {
  byId("calls").replaceChildren(paragraph(`The document cannot be read: ${error}`));
}
