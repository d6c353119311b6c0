"""The openai SDK for Python, used as its own documentation shows, against the server at HEARTH_BASE_URL."""

import asyncio
import json
import os
import unittest

from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI

BASE_URL = os.environ["HEARTH_BASE_URL"]
MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]
TIDE = {
    "model": "ember",
    "temperature": 0,
    "messages": [{"role": "user", "content": "What is the tide in Oban?"}],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "fetch_tide",
                "description": "Tide times at a harbour.",
                "parameters": {
                    "type": "object",
                    "properties": {"place": {"type": "string"}},
                    "required": ["place"],
                },
            },
        }
    ],
}


class OpenAiSdk(unittest.TestCase):
    def setUp(self):
        self.client = OpenAI(base_url=BASE_URL, api_key="not-needed", max_retries=0)
        self.addCleanup(self.client.close)

    def ask(self, **change):
        return self.client.chat.completions.create(**{"model": "ember", "messages": MESSAGES} | change)

    def test_a_plain_answer_with_usage(self):
        answer = self.ask()
        self.assertIn("Paris", answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].finish_reason, "stop")
        self.assertEqual(answer.usage.total_tokens, answer.usage.prompt_tokens + answer.usage.completion_tokens)

    def test_a_streamed_answer_is_the_same_text(self):
        plain = self.ask(temperature=0).choices[0].message.content
        # Every chunk has a choice, so this loop, which many programs hold, is safe.
        chunks = [chunk.choices[0].delta.content or "" for chunk in self.ask(temperature=0, stream=True)]
        self.assertEqual("".join(chunks), plain)

    def test_a_streamed_answer_with_usage(self):
        chunks = list(self.ask(stream=True, stream_options={"include_usage": True}))
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)
        self.assertEqual(len({chunk.id for chunk in chunks}), 1)
        self.assertEqual(chunks[0].choices[0].delta.role, "assistant")

    def test_a_tool_is_called_and_its_result_is_used(self):
        choice = self.ask(**TIDE).choices[0]
        self.assertEqual(choice.finish_reason, "tool_calls")
        self.assertIsNone(choice.message.content)
        call = choice.message.tool_calls[0]
        self.assertEqual(call.function.name, "fetch_tide")
        self.assertEqual(json.loads(call.function.arguments), {"place": "Oban"})

        result = {"role": "tool", "tool_call_id": call.id, "content": "High tide at 14:05"}
        answer = self.ask(**TIDE | {"messages": [*TIDE["messages"], choice.message, result]})
        self.assertIn("14:05", answer.choices[0].message.content)

    def test_a_streamed_tool_call_comes_in_pieces_that_fit(self):
        name, arguments, text = "", "", ""
        for chunk in self.ask(**TIDE, stream=True):
            delta = chunk.choices[0].delta
            text += delta.content or ""
            for call in delta.tool_calls or []:
                name += call.function.name or ""
                arguments += call.function.arguments or ""
        self.assertEqual((name, json.loads(arguments), text), ("fetch_tide", {"place": "Oban"}, ""))

    def test_a_session_goes_on_with_its_new_turn_alone(self):
        def say(text, **change):
            return self.ask(messages=[{"role": "user", "content": text}], temperature=0, **change)

        name = {"session_id": "openai python/1"}
        first = say("My name is Ada.", extra_body=name)
        self.assertEqual(first.hearth["session"], {"id": name["session_id"], "turn": "new", "kept": True})
        header = {"X-Session-Id": name["session_id"]}
        chunks = list(say("What is my name?", extra_headers=header, stream=True))
        self.assertIn("Ada", "".join(chunk.choices[0].delta.content or "" for chunk in chunks))
        self.assertEqual(chunks[-1].hearth["session"]["turn"], "delta")

        path = "/sessions/openai%20python%2F1"
        stored = self.client.get(path, cast_to=object)
        self.assertEqual([message["role"] for message in stored["messages"]], ["user", "assistant"] * 2)
        fork = self.client.post(path + "/fork", cast_to=object, body={"id": "copy"})
        self.assertEqual((fork["id"], fork["message_count"]), ("copy", 4))
        for path in (path, "/sessions/copy"):
            self.assertTrue(self.client.delete(path, cast_to=object)["deleted"])
        with self.assertRaises(NotFoundError):
            self.client.get(path, cast_to=object)

    def test_errors_come_as_the_sdks_own_kinds(self):
        with self.assertRaises(NotFoundError) as caught:
            self.ask(model="gpt-4")
        self.assertEqual(caught.exception.code, "model_not_found")
        self.assertIn("ember", caught.exception.message)
        with self.assertRaises(BadRequestError) as caught:
            self.ask(max_tokens=-1)
        self.assertEqual(caught.exception.param, "max_tokens")

    def test_models_are_listed_and_found(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["ember"])
        self.assertEqual(self.client.models.retrieve("ember").owned_by, "hearth")
        with self.assertRaises(NotFoundError):
            self.client.models.retrieve("no-such-model")

    def test_eight_at_once_each_get_their_own_answer(self):
        names = ["Ada", "Bo", "Cy", "Dee", "Eve", "Fay", "Gus", "Hal"]

        async def ask(client, name):
            messages = [{"role": "user", "content": f"Repeat: {name}"}]
            answer = await client.chat.completions.create(model="ember", messages=messages, temperature=0)
            return answer.choices[0].message.content

        async def ask_all(names):
            async with AsyncOpenAI(base_url=BASE_URL, api_key="not-needed") as client:
                return await asyncio.gather(*(ask(client, name) for name in names))

        alone = [asyncio.run(ask_all([name]))[0] for name in names]
        self.assertEqual(asyncio.run(ask_all(names)), alone)


if __name__ == "__main__":
    unittest.main()
