// What this browser remembers: the key for this tab alone, the rest for good.

const KEY = "affect.key";

/** The API key; empty where none is set. */
export const key = () => sessionStorage.getItem(KEY) ?? "";

export function setKey(value) {
  if (value) sessionStorage.setItem(KEY, value);
  else sessionStorage.removeItem(KEY);
  dispatchEvent(new Event("keychange"));
}

/** A remembered choice; `fallback` where there is none. */
export const recall = (name, fallback) => JSON.parse(localStorage.getItem(`affect.${name}`) ?? JSON.stringify(fallback));

export const remember = (name, value) => localStorage.setItem(`affect.${name}`, JSON.stringify(value));
