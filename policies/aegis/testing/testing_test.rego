# METADATA
# title: Fixtures of the unit tests
# description: Whole inputs to start from, since half an input is denied. Not part of a bundle.
package aegis.testing

# A valid request of a student: `input` of a test is this with the parts that the test is about put over it.
student := {
	"request": {
		"id": "req_1", "time": "2026-11-24T09:00:00.000Z", "endpoint": "chat.completions", "dialect": "openai",
		"model": "auto", "stream": false, "max_output_tokens": null, "temperature": null, "tools": [],
		"response_format": null, "source_ip": "192.0.2.7", "headers": {},
		"end_user": {"name": "", "source": "none"},
	},
	"caller": {
		"kind": "key", "id": "key_1", "org": "demo-university", "team": "cs101", "user": "sam", "roles": ["student"],
		"groups": [], "workflows": [], "scopes": [], "claims": {},
	},
	"purpose": {"workflow": "tutoring", "use_case": "", "session": "", "tags": {}},
	"content": {
		"messages": 1, "bytes": 400, "tokens_estimate": 90, "modalities": ["text"], "languages": ["Latn"],
		"pii": {}, "secrets": {},
		"signals": {
			"multiple_choice": false, "yes_no": false, "question_marks": 1, "code": false, "math": false,
			"instruction_verbs": 1, "turns": 1, "words": 40, "numbers": 0, "long_words": 3, "negated": false,
		},
		"complexity": 0.45, "uninspected": [],
	},
	"spend": [],
	"upstreams": {
		"openai": upstream("openai", openai_serves),
		"anthropic": upstream("anthropic", chat_family),
		"mistral": upstream("openai", array.concat(chat_family, ["embeddings"])),
		"local": object.union(upstream("openai", openai_serves), {"third_party": false}),
	},
	"bucket": {"request": 1, "user": 2, "session": 3, "org": 4},
	"experiments": {},
}

# What the gateway says of an upstream: it can be asked for what it speaks, and for what is translated into that.
upstream(dialect, endpoints) := {
	"dialects": [dialect], "endpoints": endpoints, "third_party": true,
	"state": "up", "error_rate": 0, "p50_ms": 400,
}

chat_family := ["chat.completions", "responses", "messages", "messages.count_tokens"]

openai_serves := array.concat(chat_family, ["completions", "embeddings"])

teacher := request({"caller": {"user": "tina", "roles": ["teacher"]}})

researcher := request({
	"caller": {"team": "nlp-lab", "user": "ravi", "roles": ["researcher"]},
	"purpose": {"workflow": "research"},
})

# A researcher's request for vectors of a named model.
embedder := object.union(researcher, {"request": {"endpoint": "embeddings", "model": "text-embedding-3-small"}})

# The student's request with `changes` put over it, deeply.
request(changes) := object.union(student, changes)

# What `deny` of a decision says, as a set of rule ids.
refusals(decision) := {refusal.rule | some refusal in decision.deny}

models(decision) := [candidate.model | some candidate in decision.route.candidates]
