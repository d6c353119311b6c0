// A chat as people have it: what is asked, and what is answered.
import { visit } from "./browser.mjs";

export const message = (page) => page.getByRole("textbox", { name: "Message", exact: true });
export const questions = (page) => page.getByRole("article", { name: "You" });
export const answers = (page) => page.getByRole("article", { name: "Answer" });

export async function ask(page, text) {
  await message(page).fill(text);
  await page.getByRole("button", { name: "Send", exact: true }).click();
}

/** Waits for the whole answer number `at` (from 0), and gives its text. */
export async function answer(page, at = 0) {
  const one = answers(page).nth(at);
  await one.getByRole("button", { name: "Answer again" }).waitFor();
  return one.innerText();
}

/** A chat in which a question has been answered. */
export async function begin(page, text) {
  await visit(page, "Chat");
  await ask(page, text);
  return answer(page);
}
