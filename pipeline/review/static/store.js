// Hides IndexedDB: where decisions lie until the server has them, and what was done before.

const NAME = "kaoset-review";
const VERSION = 1;

let opening = null;

function open() {
  opening ??= new Promise((done, fail) => {
    const asked = indexedDB.open(NAME, VERSION);
    asked.onupgradeneeded = () => {
      const db = asked.result;
      db.createObjectStore("outbox", { keyPath: "n", autoIncrement: true });
      db.createObjectStore("dead", { keyPath: "n", autoIncrement: true });
      db.createObjectStore("history", { keyPath: "n", autoIncrement: true }).createIndex("id", "id");
      db.createObjectStore("drafts", { keyPath: "key" });
    };
    asked.onsuccess = () => {
      asked.result.onversionchange = () => { asked.result.close(); opening = null; };
      asked.result.onclose = () => { opening = null; };
      done(asked.result);
    };
    asked.onerror = () => fail(asked.error);
    asked.onblocked = () => fail(new DOMException("another tab holds an older database", "InvalidStateError"));
  });
  opening.catch(() => { opening = null; });
  return opening;
}

/**
 * Do something in one transaction; resolves when it is on the disk.
 * @param {string[]} stores
 * @param {(transaction: IDBTransaction) => IDBRequest | void} work its result is given back
 */
export async function write(stores, work) {
  const db = await open();
  return settle(db.transaction(stores, "readwrite", { durability: "strict" }), work);
}

async function settle(transaction, work) {
  const finished = new Promise((done, fail) => {
    transaction.oncomplete = done;
    transaction.onerror = () => fail(transaction.error);
    transaction.onabort = () => fail(transaction.error ?? new DOMException("aborted", "AbortError"));
  });
  const asked = work(transaction);
  transaction.commit?.();
  await finished;
  return asked?.result;
}

/** Read everything of a store, in order. */
export async function all(store) {
  const db = await open();
  return settle(db.transaction(store, "readonly"), (transaction) => transaction.objectStore(store).getAll());
}

/** Read the first thing of a store, or undefined. */
export async function first(store) {
  const db = await open();
  const some = await settle(db.transaction(store, "readonly"), (one) => one.objectStore(store).getAll(null, 1));
  return some[0];
}

/** Read one thing by its key. */
export async function one(store, key) {
  const db = await open();
  return settle(db.transaction(store, "readonly"), (transaction) => transaction.objectStore(store).get(key));
}

/** Count the things of a store. */
export async function count(store) {
  const db = await open();
  return settle(db.transaction(store, "readonly"), (transaction) => transaction.objectStore(store).count());
}
