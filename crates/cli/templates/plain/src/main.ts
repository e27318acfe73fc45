// A live query and two mutations, without a framework.
import type { Api } from "../{{dir}}/client";
import { client } from "../{{dir}}/client";

type Note = Api["listNotes"]["result"][number];

const find = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;
const input = find<HTMLInputElement>("body");

// Called at once, and whenever the result is another one, whoever changed it.
client.subscribe("listNotes", {}, ({ data, error }) => {
  if (data) find("notes").replaceChildren(...data.map(entry));
  find("empty").hidden = data?.length !== 0;
  tell(error?.message);
});

find("add").addEventListener("submit", (event) => {
  event.preventDefault();
  const body = input.value;
  input.value = "";
  client.mutate("addNote", { body }).then(
    () => tell(),
    (error: Error) => {
      input.value = body;
      tell(error.message);
    },
  );
});

const WORDS = { idle: "Connecting", connecting: "Connecting", live: "Up to date", offline: "Offline", error: "Cannot connect" };

client.status.subscribe(({ state, message }) => {
  const connection = find("connection");
  connection.dataset.state = state;
  connection.textContent = WORDS[state];
  connection.title = message ?? "";
});

function tell(message = ""): void {
  find("trouble").textContent = message;
  find("trouble").hidden = message === "";
}

function entry(note: Note): HTMLLIElement {
  const item = document.createElement("li");
  const body = document.createElement("p");
  body.textContent = note.body;
  const time = document.createElement("time");
  time.dateTime = note.createdAt;
  time.textContent = new Date(note.createdAt).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  const remove = document.createElement("button");
  remove.textContent = "Remove";
  remove.setAttribute("aria-label", `Remove: ${note.body}`);
  remove.addEventListener("click", () => void client.mutate("removeNote", { id: note.id }).catch((error: Error) => tell(error.message)));
  item.append(body, time, remove);
  return item;
}
