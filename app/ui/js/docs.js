// Entry point of docs.html: renders /openapi.json and sends requests.

import { byId, h } from "./lib/dom.js";

/** Headers of a response that are shown. */
const SHOWN_HEADERS = ["content-type", "location", "retry-after", "x-request-id"];

/**
 * The parts of an OpenAPI document that are used here. `oneSchema`: a JSON schema.
 * @typedef {Record<string, any>} Schema
 * @typedef {{ info: { description: string, version: string }, paths: Record<string, Record<string, Schema>>,
 *   components: { schemas: Record<string, Schema> } }} OpenApi
 */

/**
 * One input: a parameter of the path or the query, or a field of the form.
 * @typedef {object} Field
 * @property {string} place `path`, `query`, `header` or `form`
 * @property {string} name
 * @property {Schema} schema
 * @property {boolean} required
 * @property {HTMLInputElement | HTMLSelectElement | HTMLTextAreaElement} control
 */

/** @param {string | undefined} text */
const paragraph = (text) => (text ? h("p", { textContent: text }) : null);

/**
 * Follow references, and take the one schema that is not null from a choice.
 * @param {Schema} schema
 * @param {OpenApi} api
 * @returns {Schema}
 */
function resolve(schema, api) {
  if (schema.$ref) return resolve(api.components.schemas[schema.$ref.split("/").pop()], api);
  /** @type {Schema[]} */
  const variants = (schema.anyOf ?? []).filter((/** @type {Schema} */ variant) => variant.type !== "null");
  return variants.length === 1 ? { ...resolve(variants[0], api), ...schema, anyOf: undefined } : schema;
}

/**
 * Create the control for a value.
 * @param {string} name
 * @param {Schema} schema
 * @param {boolean} required
 */
function controlFor(name, schema, required) {
  /** @type {string[] | null} */
  const choices = schema.enum ?? (schema.const === undefined ? null : [schema.const]);
  if (choices) {
    const options = required ? choices : ["", ...choices];
    return h("select", { name, required }, ...options.map((textContent) => h("option", { textContent })));
  }
  const items = schema.items ?? schema;
  if (items.format === "binary") {
    return h("input", { name, required, type: "file", multiple: schema.type === "array" });
  }
  if (schema.type === "object") return h("textarea", { name, placeholder: "{}", spellcheck: false });
  const example = schema.default ?? schema.examples?.[0] ?? "";
  return h("input", { name, required, placeholder: String(example) });
}

/** @param {Field} field */
function fieldLabel({ name, schema, required, control }) {
  const about = [required ? "" : "optional", schema.description].filter(Boolean).join(" · ");
  return h(
    "label",
    {},
    h("code", { textContent: name }),
    h("span", { className: "note", textContent: about }),
    control,
  );
}

/**
 * Return the inputs of an operation.
 * @param {Schema} operation
 * @param {OpenApi} api
 * @returns {Field[]}
 */
function fieldsOf(operation, api) {
  /**
   * @param {string} place
   * @param {string} name
   * @param {Schema} unresolved
   * @param {boolean} required
   */
  const field = (place, name, unresolved, required) => {
    const schema = resolve(unresolved, api);
    return { place, name, schema, required, control: controlFor(name, schema, required) };
  };
  /** @type {Schema[]} */
  const parameters = operation.parameters ?? [];
  const form = operation.requestBody?.content?.["multipart/form-data"]?.schema;
  return [
    ...parameters.map(({ in: place, name, description, schema, required }) =>
      field(place, name, { description, ...schema }, Boolean(required)),
    ),
    ...Object.entries(form?.properties ?? {}).map(([name, schema]) =>
      field("form", name, schema, (form.required ?? []).includes(name)),
    ),
  ];
}

/**
 * Return the values of a control: files, or one text.
 * @param {Field["control"]} control
 * @returns {(File | string)[]}
 */
function valuesOf(control) {
  if (control instanceof HTMLInputElement && control.type === "file") return [...(control.files ?? [])];
  return control.value === "" ? [] : [control.value];
}

/**
 * Return URL and options of a request.
 * @param {string} method
 * @param {string} template path with its parameters in braces
 * @param {Field[]} fields
 */
function requestFor(method, template, fields) {
  const query = new URLSearchParams();
  const body = new FormData();
  let path = template;
  for (const { place, name, control } of fields) {
    for (const value of valuesOf(control)) {
      if (place === "path") path = path.replace(`{${name}}`, encodeURIComponent(String(value)));
      if (place === "query") query.append(name, String(value));
      if (place === "form") body.append(name, value);
    }
  }
  const key = byId("key-field", HTMLInputElement).value;
  /** @type {Record<string, string>} */
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  return {
    url: [path, query.toString()].filter(Boolean).join("?"),
    options: {
      method: method.toUpperCase(),
      headers,
      body: fields.some(({ place }) => place === "form") ? body : undefined,
    },
  };
}

/**
 * Send a request and show the response.
 * @param {string} method
 * @param {string} path
 * @param {Field[]} fields
 * @param {HTMLElement} output
 */
async function send(method, path, fields, output) {
  const { url, options } = requestFor(method, path, fields);
  const title = `${options.method} ${url}`;
  output.textContent = "…";
  try {
    const response = await fetch(url, options);
    const headers = SHOWN_HEADERS.filter((name) => response.headers.has(name)).map(
      (name) => `${name}: ${response.headers.get(name)}`,
    );
    const text = await response.text();
    const isJson = (response.headers.get("content-type") ?? "").includes("json");
    const body = isJson ? JSON.stringify(JSON.parse(text), null, 2) : text;
    const status = `${response.status} ${response.statusText}`;
    output.textContent = [title, status, ...headers, "", body].join("\n");
  } catch (error) {
    output.textContent = `${title}\n${error}`;
  }
}

/** @param {Schema} operation */
function responseList(operation) {
  const list = h("dl");
  for (const [status, response] of Object.entries(operation.responses)) {
    const codes = Object.values(response.content ?? {}).flatMap((each) => Object.keys(each.examples ?? {}));
    const { description } = response;
    const about = codes.length ? `${description}: ${codes.join(", ")}` : description;
    list.append(h("dt", { textContent: status }), h("dd", { textContent: about }));
  }
  return list;
}

/**
 * @param {string} method
 * @param {string} path
 * @param {Schema} operation
 * @param {OpenApi} api
 */
function operationDetails(method, path, operation, api) {
  const fields = fieldsOf(operation, api);
  const output = h("pre", { hidden: true });
  const form = h("form", {}, ...fields.map(fieldLabel), h("button", { textContent: "Send" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    send(method, path, fields, output);
  });
  const title = h(
    "summary",
    {},
    h("span", { className: "method", textContent: method.toUpperCase() }),
    h("code", { textContent: path }),
    ` ${operation.summary ?? ""}`,
  );
  return h(
    "details",
    { id: operation.operationId },
    title,
    paragraph(operation.description),
    form,
    output,
    responseList(operation),
  );
}

/** @param {OpenApi} api */
function render(api) {
  const { info, paths, components } = api;
  byId("about", HTMLElement).textContent = `${info.description} Version ${info.version}.`;
  /** @type {Map<string, HTMLElement>} */
  const sections = new Map();
  for (const [path, operations] of Object.entries(paths)) {
    for (const [method, operation] of Object.entries(operations)) {
      const tag = operation.tags?.[0] ?? "other";
      const section = sections.get(tag) ?? h("section", {}, h("h2", { textContent: tag }));
      sections.set(tag, section);
      section.append(operationDetails(method, path, operation, api));
    }
  }
  byId("operations", HTMLElement).replaceChildren(...sections.values());
  const schemas = Object.entries(components.schemas).map(([name, schema]) =>
    h(
      "details",
      { id: `schema-${name}` },
      h("summary", {}, h("code", { textContent: name })),
      paragraph(schema.description),
      h("pre", { textContent: JSON.stringify(schema, null, 2) }),
    ),
  );
  byId("schemas", HTMLElement).replaceChildren(...schemas);
}

try {
  render(await (await fetch("/openapi.json")).json());
} catch (error) {
  byId("operations", HTMLElement).replaceChildren(
    h("p", { textContent: `The API description can’t be loaded: ${error}` }),
  );
}
